"""The trace of an emit goes with it to the other processes, and to the clients that ask for it."""

# python-socketio is not annotated.
# mypy: allow-untyped-calls, allow-untyped-defs

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import anyio
import pytest
import redis.asyncio
import socketio
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode
from socketio.async_pubsub_manager import AsyncPubSubManager

from divan_obs_asgi.tracing.spans.client import InternalSpan
from tests.patience import PATIENCE_S
from tests.servers.redis import RedisServer
from tests.socketio_ext.sockets import Client, opened, server_of
from tests.stacks import Observed
from tests.tracing.exported import Exported

TRACED = {"OBS_TRACING_ENABLED": "true", "OBS_SOCKETIO_EMIT_SPANS": "true", "OBS_SOCKETIO_CLIENT_TRACES": "true"}
ASKS = {"QUERY_STRING": "EIO=4&divan_traces=1"}


class Bus:
    """What Redis is to managers."""

    def __init__(self) -> None:
        self.queues: list[asyncio.Queue[object]] = []

    def publish(self, message: object) -> None:
        for queue in self.queues:
            queue.put_nowait(copy.deepcopy(message))


class BusManager(AsyncPubSubManager):
    def __init__(self, bus: Bus) -> None:
        super().__init__()
        self.bus = bus

    async def _publish(self, data: object) -> None:
        self.bus.publish(data)

    async def _listen(self) -> AsyncIterator[object]:  # type: ignore[override]
        queue: asyncio.Queue[object] = asyncio.Queue()
        self.bus.queues.append(queue)
        while True:
            yield await queue.get()


class Process:
    """A server, and what it has told of itself."""

    def __init__(
        self,
        bus: Bus | None = None,
        environ: dict[str, str] | None = None,
        manager: socketio.AsyncManager | None = None,
    ) -> None:
        self.exported = Exported()
        self.observed = Observed(TRACED if environ is None else environ, span_exporter=self.exported)
        self.server = server_of(self.observed, client_manager=BusManager(bus) if bus is not None else manager)

        async def say(sid: str) -> None:
            await self.server.emit("said", "hello")

        self.server.on("say", say)

    def span(self, name: str) -> ReadableSpan:
        self.observed.obs.flush()
        (span,) = (span for span in self.exported.spans if span.name == name)
        return span


async def client_of(server: Any, environ: dict[str, Any] | None = None) -> Client:
    client = await opened(server, dict(environ or {}))
    await client.connect()
    client.received()
    return client


async def settle() -> None:
    """Let every task of this loop do what it can do now."""
    for _ in range(20):
        await asyncio.sleep(0)


def ids(span: ReadableSpan) -> tuple[int, int]:
    context = span.get_span_context()
    assert context is not None
    return context.trace_id, context.span_id


def test_what_comes_of_an_emit_in_another_process_is_in_its_trace() -> None:
    """A manager that knows nothing of it delivers the same."""

    async def conversation() -> tuple[Process, Process, Process]:
        bus = Bus()
        one, two, dark = Process(bus), Process(bus), Process(bus, {"OBS_ENABLED": "false"})
        here, there, elsewhere = [await client_of(process.server) for process in (one, two, dark)]
        await settle()
        await here.send('2["say"]')
        await settle()
        assert [client.received() for client in (here, there, elsewhere)] == [['2["said","hello"]']] * 3
        return one, two, dark

    one, two, dark = anyio.run(conversation)
    event, emit, deliver = one.span("process / say"), one.span("socketio emit"), two.span("socketio deliver")
    assert ids(emit)[0] == ids(deliver)[0] == ids(event)[0]
    assert emit.parent is not None
    assert deliver.parent is not None
    assert (emit.parent.span_id, deliver.parent.span_id) == (ids(event)[1], ids(emit)[1])
    assert (deliver.attributes or {})["socketio.event"] == "said"
    assert dark.exported.spans == []


def test_the_span_of_an_emit_costs_as_little_as_that_of_a_call() -> None:
    """An emit that fails is an error, and its span keeps nothing that the policy hides."""

    class BrokenManager(socketio.AsyncManager):
        async def emit(self, *args: Any, **kwargs: Any) -> None:
            raise ValueError("password=hunter2")

    async def conversation() -> tuple[Process, Process]:
        sound, broken = Process(), Process(manager=BrokenManager())
        for process in (sound, broken):
            client = await client_of(process.server)
            with suppress(ValueError):
                await client.send('2["say"]')
        return sound, broken

    sound, broken = (process.span("socketio emit") for process in anyio.run(conversation))
    assert isinstance(sound, InternalSpan)
    assert (sound.kind, sound.status.status_code) == (SpanKind.INTERNAL, StatusCode.UNSET)
    assert sound.attributes == {
        "socketio.event": "said",
        "socketio.namespace": "/",
        "messaging.system": "socketio",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
    }
    assert (broken.status.status_code, (broken.attributes or {})["error.type"]) == (StatusCode.ERROR, "ValueError")
    (event,) = broken.events
    assert (event.attributes or {})["exception.type"] == "ValueError"
    assert "hunter2" not in str(event.attributes)


def test_the_trace_goes_through_redis(redis_server: RedisServer) -> None:
    """As python-socketio's own manager publishes it, and a server that asks for nothing of it understands it."""

    async def conversation() -> tuple[Process, Process]:
        managers: list[Any] = [socketio.AsyncRedisManager(redis_server.url, channel="traces") for _ in range(3)]
        one, two = Process(manager=managers[0]), Process(manager=managers[1])
        plain = socketio.AsyncServer(async_mode="asgi", client_manager=managers[2], async_handlers=False)
        clients = [await client_of(server) for server in (one.server, two.server, plain)]
        with anyio.fail_after(PATIENCE_S):
            async with redis.asyncio.Redis.from_url(redis_server.url) as asking:
                while dict(await asking.pubsub_numsub("traces"))[b"traces"] < len(managers):
                    await settle()
            await clients[0].send('2["say"]')
            for client in clients:
                assert (await client.socket.queue.get()).data == '2["said","hello"]'
        for manager in managers:
            manager.thread.cancel()
            await manager.pubsub.aclose()
            await manager.redis.aclose()
        return one, two

    one, two = anyio.run(conversation)
    emit, deliver = one.span("socketio emit"), two.span("socketio deliver")
    assert deliver.parent is not None
    assert (ids(deliver)[0], deliver.parent.span_id) == ids(emit)


@pytest.mark.parametrize("told", [None, "", "nonsense", "00-" + "0" * 32 + "-00f067aa0ba902b7-01", 7, ["a"], "\ud800"])
def test_a_message_without_a_trace_is_delivered_as_well(told: object) -> None:
    """Whatever an older or foreign process publishes; its span begins a trace, and is not the first client's."""

    async def conversation() -> Process:
        bus = Bus()
        process = Process(bus)
        client = await client_of(process.server)
        await settle()
        more = {} if told is None else {"traceparent": told}
        bus.publish({"method": "emit", "event": "said", "data": "hello", "namespace": "/", "host_id": "x", **more})
        await settle()
        assert client.received() == ['2["said","hello"]']
        return process

    process = anyio.run(conversation)
    assert process.span("socketio deliver").parent is None
    assert process.observed.samples("divan_obs_errors_total") == {}


DATA: list[Any] = [None, "one", ("one", 2), [1, 2], {"a": b"binary"}, (b"two", "of", b"them"), ()]


@pytest.mark.parametrize(
    ("event", "shown"), [("said" * 10_000, "said" * 64), (7, "int"), (None, "NoneType"), ([["a"]], "list")]
)
def test_an_event_of_another_process_may_be_anything(event: object, shown: str) -> None:
    """Its span has the beginning of a name, or says what came in place of one."""

    async def conversation() -> Process:
        bus = Bus()
        process = Process(bus)
        await client_of(process.server)
        await settle()
        bus.publish({"method": "emit", "event": event, "data": "hello", "namespace": "/", "host_id": "x"})
        await settle()
        return process

    assert (anyio.run(conversation).span("socketio deliver").attributes or {})["socketio.event"] == shown


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("data", DATA, ids=repr)
def test_a_client_that_asks_gets_the_trace_as_one_more_argument(data: Any, shared: bool) -> None:
    """And nothing else changes: not for it, and not at all for the others, here and in the other process."""

    async def conversation() -> tuple[Process, list[list[Any]], list[list[Any]]]:
        bus = Bus() if shared else None
        process = Process(bus)
        servers = [process.server, *([Process(bus).server] if shared else [])]
        asking = [await client_of(server, ASKS) for server in servers]
        others = [await client_of(server) for server in servers]
        await settle()
        await process.server.emit("said", data)
        await settle()
        return process, [client.received() for client in asking], [client.received() for client in others]

    process, asking, others = anyio.run(conversation)
    trace_id, span_id = ids(process.span("socketio emit"))
    trace = {"$trace": {"traceparent": f"00-{trace_id:032x}-{span_id:016x}-03"}}
    for told, plain in zip(asking, others, strict=True):
        arguments, attachments = parsed(told)
        without, same = parsed(plain)
        # The other process tells its own span, which is a child.
        assert arguments[:-1] == without
        assert arguments[-1]["$trace"]["traceparent"].split("-")[1] == f"{trace_id:032x}"
        assert attachments == same
    assert parsed(asking[0])[0][-1] == trace


def parsed(packets: list[Any]) -> tuple[list[Any], list[bytes]]:
    """Return the arguments of the event that packets make, and its binary parts."""
    text, *attachments = packets
    return json.loads(text[text.index("[") :]), attachments


@pytest.mark.parametrize("shared", [False, True])
def test_clients_that_an_emit_leaves_out_do_not_get_it(shared: bool) -> None:
    """Rooms and `skip_sid` mean what they mean; nobody gets anything twice."""

    async def conversation() -> list[list[str]]:
        server = Process(Bus() if shared else None).server
        clients = [await client_of(server, environ) for environ in (ASKS, ASKS, ASKS, {}, {})]
        for client in clients[1:]:
            await server.enter_room(client.sid(), "den")
        await server.emit("said", to="den", skip_sid=clients[2].sid())
        await server.emit("said", to=[clients[0].sid(), clients[3].sid(), "nowhere"], skip_sid=[clients[3].sid()])
        return [[packet.partition("{")[0] for packet in client.received()] for client in clients]

    told, plain = ['2["said",'], ['2["said"]']
    assert anyio.run(conversation) == [told, told, [], plain, plain]


def test_a_client_that_gets_the_trace_can_acknowledge() -> None:
    """`call` gets its answer."""

    async def conversation() -> object:
        server = Process().server
        server.async_handlers = True
        client = await client_of(server, ASKS)
        call = asyncio.create_task(server.call("question", "why", to=client.sid()))
        await settle()
        (packet,) = client.received()
        assert packet.startswith('21["question","why",{"$trace"')
        await client.send('31["because"]')
        return await call

    assert anyio.run(conversation) == "because"


@pytest.mark.parametrize(
    ("environ", "query"),
    [
        ({"OBS_TRACING_ENABLED": "true"}, ASKS["QUERY_STRING"]),
        ({"OBS_SOCKETIO_CLIENT_TRACES": "true", "OBS_TRACING_ENABLED": "false"}, ASKS["QUERY_STRING"]),
        (TRACED, "divan_traces=0"),
        (TRACED, "divan_traces=1&divan_traces=2"),
        (TRACED, "x=divan_traces"),
    ],
)
def test_no_client_gets_the_trace_without_asking_or_without_the_flag(environ: dict[str, str], query: str) -> None:
    """The flag, and the client's `divan_traces=1`, are both needed."""

    async def conversation() -> list[str]:
        server = Process(environ=environ).server
        client = await client_of(server, {"QUERY_STRING": query})
        await server.emit("said", "hello")
        return client.received()

    assert anyio.run(conversation) == ['2["said","hello"]']


def test_a_client_that_has_gone_is_forgotten() -> None:
    """Also one whose end nobody has told."""

    async def conversation() -> None:
        server = Process().server
        first, second = await client_of(server, ASKS), await client_of(server, ASKS)
        await first.close()
        del server.eio.sockets[second.eio_sid]
        server._traces.reconcile(server.eio.sockets)
        assert server._traces._asking == set()

    anyio.run(conversation)
