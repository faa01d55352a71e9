"""Whatever one client does: afterwards nobody is counted, nothing is kept, and the next client is served."""

# python-socketio is not annotated.
# mypy: allow-untyped-calls

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
import socketio

from tests.socketio_ext.sockets import Client, connected, opened, server_of
from tests.stacks import Observed

Mischief = Callable[[Client, int], Awaitable[None]]


class Chat:
    """The handlers of `/`; what they do at a connect is the client's wish."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.entered, self.release = anyio.Event(), anyio.Event()
        self.disconnects_raise = False
        for name in ("connect", "disconnect", "say", "fail"):
            server.on(name, getattr(self, name))
        server.register_namespace(socketio.AsyncNamespace("/class"))

    async def connect(self, sid: str, environ: object, auth: object) -> bool | None:
        wish = auth.get("do") if isinstance(auth, dict) else None
        if wish == "raise a refusal":
            raise socketio.exceptions.ConnectionRefusedError("no")
        if wish == "raise":
            raise LookupError
        if wish == "raise a TypeError":
            raise TypeError
        if wish == "send away":
            await self.server.disconnect(sid)
        if wish == "wait":
            self.entered.set()
            await self.release.wait()
        return False if wish == "refuse" else None

    async def disconnect(self, sid: str, *reason: object) -> None:
        if self.disconnects_raise:
            raise LookupError

    async def say(self, sid: str, *words: object) -> object:
        return words

    async def fail(self, sid: str) -> None:
        raise LookupError


async def sends(client: Client, *packets: str | bytes) -> None:
    """Let a client send what it likes; Engine.IO logs what its handlers raise, and goes on."""
    for packet in packets:
        try:
            await client.send(packet)
        except Exception:
            continue


def sending(*packets: str | bytes) -> Mischief:
    async def mischief(client: Client, number: int) -> None:
        await sends(client, *(p.replace("#", str(number)) if isinstance(p, str) else p for p in packets))

    return mischief


def while_connecting(*packets: str, cancelled: bool = False) -> Mischief:
    """Send something while the connect handler runs, as a client that polls can."""

    async def mischief(client: Client, number: int) -> None:
        chat: Chat = client.server.chat
        chat.entered, chat.release = anyio.Event(), anyio.Event()
        connecting = asyncio.create_task(sends(client, '0{"do":"wait"}'))
        await chat.entered.wait()
        await sends(client, *packets)
        if cancelled:
            connecting.cancel()
        elif not packets:
            await client.close("ping timeout")
        chat.release.set()
        await asyncio.wait([connecting])

    return mischief


async def disconnects_that_raise(client: Client, number: int) -> None:
    client.server.chat.disconnects_raise = True
    await sends(client, "0", "0/class,", "1", "0", "1/class,", "0/class,")
    try:
        await client.close()
    except LookupError:
        client.server.chat.disconnects_raise = False


ATTACHED = '["say",{"_placeholder":true,"num":0}]'
MISCHIEF: dict[str, Mischief] = {
    "events that nobody handles": sending("0", '2["invented-#"]', '2#["invented-#",1]', '2["*"]', '2["__unknown__"]'),
    "events before a connect": sending('2["say"]', '2/class,["say"]', f"51-{ATTACHED}", b"bytes", "3#[1]"),
    "events without a name": sending(
        "0", "2", "2[]", "2{}", '2"say"', "2null", "2[null]", "2[#]", '2[["say"]]', "2[{}]"
    ),
    "events of handlers that are not for clients": sending("0", '2["connect",{}]', '2["disconnect"]', '27["connect"]'),
    "handlers that raise": sending("0", '2["fail"]', '2#["fail",1]', '2#["fail"]'),
    "namespaces that nobody has": sending(
        "0/invented-#,", '2/invented-#,["say"]', "1/invented-#,", "0/*,", "0/class?#,"
    ),
    "attachments that never come": sending("0", f"51-{ATTACHED}"),
    "attachments that come as text": sending("0", f"52-{ATTACHED}", "1", "1", "1"),
    "attachments that nobody announced": sending("0", b"bytes", b"", b"\x00" * 1000),
    "attachments that are too few": sending(
        "0", f"50-{ATTACHED}", '2["say"]', '51-["say",{"_placeholder":true,"num":9}]'
    ),
    "attachments without end": sending("0", f"5{'9' * 12}-{ATTACHED}", f"5999999999-{ATTACHED}", b"bytes"),
    "acks that nobody asked for": sending(
        "0", "3#[1]", "30[1]", "30", "3[]", "3", f"61-#{ATTACHED}", b"bytes", "3/class,1[]"
    ),
    "packets of no kind": sending("0", "", "9", "x", "{", "4", '4{"message":"no"}', f"2{'1' * 200}[]", "2["),
    "connects with bad data": sending("0[1]", '0"x"', "0{", "07", "0/class", "0/class,{"),
    "a refused connect": sending('0{"do":"refuse"}'),
    "a connect that is refused by an exception": sending('0{"do":"raise a refusal"}'),
    "a connect that raises": sending('0{"do":"raise"}', '0{"do":"raise a TypeError"}'),
    "a connect that raises, then a good one": sending('0{"do":"raise"}', "0", '2["say"]'),
    "a client that is sent away as it connects": sending('0{"do":"send away"}', '2["say"]'),
    "connecting twice": sending("0", "0", '0{"do":"raise"}', "0/class,", "0/class,", '2["say"]'),
    "disconnecting from where one is not": sending("1", "1/class,", "0", "1", "1", "1/nowhere-#,"),
    "coming and going": sending(*("0", "1") * 20, "0"),
    "disconnects that raise": disconnects_that_raise,
    "going while the connect handler runs": while_connecting(),
    "a connect that is cancelled": while_connecting(cancelled=True),
    "leaving while the connect handler runs": while_connecting("1", '2["say"]', f"51-{ATTACHED}"),
    "connecting twice at once": while_connecting("0", '0{"do":"raise"}'),
}


def labels_of(observed: Observed) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    """Return all series of Socket.IO there are."""
    return {
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in observed.obs.metrics.registry.collect()
        for sample in family.samples
        if sample.name.startswith("divan_socketio_")
    }


def kept_by(server: Any) -> dict[str, object]:
    """Return what a server keeps of its clients."""
    manager = server.manager
    tables = ("rooms", "eio_to_sid", "callbacks", "pending_connect", "pending_disconnect")
    kept = {name: getattr(manager, name, {}) for name in tables}
    if hasattr(manager, "pending_connect"):
        # An older python-socketio (5.11) keeps a packet whose attachments have not come for ever.
        kept["binary"] = server._binary_packet
    return {**kept, "environ": server.environ, "clients": server._watch.clients._members}


async def is_served(server: Any) -> None:
    client = await connected(server)
    client.received()
    await client.send('27["say","hi"]')
    assert client.received() == ['37["hi"]']
    await client.close()


@pytest.mark.parametrize("always_connect", [False, True], ids=["", "always_connect"])
@pytest.mark.parametrize("mischief", MISCHIEF.values(), ids=MISCHIEF)
def test_after_mischief_nothing_is_left_and_the_next_client_is_served(mischief: Mischief, always_connect: bool) -> None:
    """Gauges are zero, no series came by repeating it, the server keeps nothing, and nothing of ours has failed."""
    observed = Observed()
    server = server_of(observed, always_connect=always_connect)
    server.chat = Chat(server)

    async def conversation() -> None:
        series = []
        for number in range(1, 4):
            client = await opened(server)
            await mischief(client, number)
            if client.eio_sid in server.eio.sockets:
                await client.close()
            server.chat.disconnects_raise = False
            await is_served(server)
            series.append(labels_of(observed))
            assert {name: table for name, table in kept_by(server).items() if table} == {}
        assert series[0] == series[2]
        server._watch.reconcile(server.manager, server.eio.sockets)

    asyncio.run(conversation())
    for gauge in ("clients", "transports"):
        assert not any(observed.samples(f"divan_socketio_{gauge}").values())
    assert not any(observed.samples("divan_socketio_corrections_total").values())
    failed = {dict(labels)["component"] for labels, n in observed.samples("divan_obs_errors_total").items() if n}
    assert failed == set()


#: The packets by which a client invents names, and whether every namespace is welcome.
INVENTIONS = {
    "events": (['2["invented-#"]'], False),
    "events that want an answer": (['27["invented-#"]'], False),
    "namespaces of events": (['2/invented-#,["say"]'], False),
    "namespaces of connects": (["0/invented-#,"], False),
    "namespaces that are welcome": (["0/invented-#,", '2/invented-#,["say"]', "1/invented-#,"], True),
}
BURST = 5_000


@pytest.mark.slow
@pytest.mark.parametrize(("packets", "welcome"), INVENTIONS.values(), ids=INVENTIONS)
def test_names_without_end_add_neither_series_nor_memory(
    packets: list[str], welcome: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Thousands more of them leave as many series, and as many objects in memory, as the first have left."""
    # pytest keeps every line, and an earlier test may have asked the library of Socket.IO for lines.
    caplog.set_level("ERROR", "socketio.server")
    observed = Observed({"OBS_ACCESS_LOG_ENABLED": "false"})
    server = server_of(observed, **({"namespaces": "*"} if welcome else {}))
    server.on("say", lambda sid: None)

    async def conversation() -> None:
        client = await connected(server)

        async def burst(numbers: range) -> int:
            for number in numbers:
                for packet in packets:
                    await client.send(packet.replace("#", str(number)))
                client.received()
            gc.collect()
            return sys.getallocatedblocks()

        # The policy remembers some 2,000 texts in which it has found nothing, and the first page makes all families.
        await burst(range(3000))
        series = labels_of(observed)
        blocks = [await burst(range(3000, 4000))]
        # What other tests have left in this process may grow once; what an invented name leaves grows each time.
        for first in range(4000, 4000 + 3 * BURST, BURST):
            blocks.append(await burst(range(first, first + BURST)))
            if blocks[-1] - blocks[-2] < BURST / 10:
                break
        assert labels_of(observed) == series
        assert blocks[-1] - blocks[-2] < BURST / 10, blocks

    asyncio.run(conversation())


def test_a_connect_that_cannot_be_read_sends_nobody_away() -> None:
    """The client that was admitted before, by the same connection, stays."""
    observed = Observed()
    server = server_of(observed)
    server.chat = Chat(server)

    async def conversation() -> list[str]:
        client = await connected(server)
        await sends(client, "0{", "0/class,{", '0/class,{"auth"')
        client.received()
        await client.send('27["say","hi"]')
        return client.received()

    assert asyncio.run(conversation()) == ['37["hi"]']
    assert observed.value("divan_socketio_clients", namespace="/") == 1


def test_whom_the_server_sends_away_is_gone_though_the_handler_raises() -> None:
    """The exception is the caller's, and the client is not kept for ever."""
    observed = Observed()
    server = server_of(observed)
    server.chat = Chat(server)
    server.chat.disconnects_raise = True

    async def conversation() -> None:
        client = await connected(server)
        with pytest.raises(LookupError):
            await server.disconnect(client.sid())
        assert list(server.manager.get_namespaces()) == []
        assert observed.value("divan_socketio_clients", namespace="/") == 0
        await client.close()

    asyncio.run(conversation())
    assert server.environ == {}


@pytest.mark.parametrize("by_network", [False, True])
def test_a_connect_that_sends_another_client_away_and_fails_leaves_nobody(by_network: bool) -> None:
    """One session for each user: the new one ends the old one's, and is then turned down by an exception."""
    observed = Observed()
    server = server_of(observed)
    earlier: list[Client] = []

    async def connect(sid: str, environ: object, auth: object) -> None:
        if earlier:
            await (earlier[0].close() if by_network else server.disconnect(earlier[0].sid()))
            raise LookupError

    server.on("connect", connect)

    async def conversation() -> None:
        earlier.append(await connected(server))
        another = await opened(server)
        with pytest.raises(LookupError):
            await another.connect()
        assert list(server.manager.get_namespaces()) == []
        # It may try again.
        earlier.clear()
        await another.connect()

    asyncio.run(conversation())
    assert observed.value("divan_socketio_clients", namespace="/") == 1


class WholePacket(socketio.packet.Packet):
    """A packet that is bytes as a whole, as in MessagePack."""

    uses_binary_events = False

    def encode(self) -> bytes:
        return json.dumps([self.packet_type, self.namespace, self.id, self.data]).encode()

    def decode(self, encoded_packet: bytes) -> None:
        self.packet_type, self.namespace, self.id, self.data = json.loads(encoded_packet)


def test_a_serializer_of_another_form_changes_nothing() -> None:
    """Connects are counted by their end, and who goes or fails while it connects leaves nobody."""
    observed = Observed()
    server = server_of(observed, serializer=WholePacket)
    server.chat = Chat(server)

    def connecting(wish: object = None, namespace: str = "/") -> bytes:
        return json.dumps([socketio.packet.CONNECT, namespace, None, wish]).encode()

    async def conversation() -> list[Any]:
        client = await opened(server)
        await sends(client, b"no packet", connecting({"do": "raise"}), connecting({"do": "refuse"}))
        await sends(client, connecting(namespace="/nowhere"), connecting(), connecting())
        client.received()
        await client.send(json.dumps([socketio.packet.EVENT, "/", 7, ["say", "hi"]]).encode())
        (answer,) = client.received()
        going = await opened(server)
        task = asyncio.create_task(going.send(connecting({"do": "wait"})))
        await server.chat.entered.wait()
        await going.close()
        server.chat.release.set()
        await task
        await client.close()
        assert list(server.manager.get_namespaces()) == []
        return list(json.loads(answer))

    assert asyncio.run(conversation()) == [socketio.packet.ACK, "/", 7, ["hi"]]
    outcomes = {dict(labels)["outcome"]: n for labels, n in observed.samples("divan_socketio_connects_total").items()}
    assert outcomes == {"accepted": 2, "refused": 1, "error": 1, "duplicate": 1, "unknown_namespace": 1}
    assert not any(observed.samples("divan_socketio_clients").values())
