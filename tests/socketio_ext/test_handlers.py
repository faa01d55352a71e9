"""Each call of a handler is one line, one span and one count, and they agree."""

# python-socketio is not annotated.
# mypy: allow-untyped-calls

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest
import socketio

import divan_obs_asgi as obs
from divan_obs_asgi.connection.event import shape_of
from divan_obs_asgi.connection.record import RECORD_KEY
from tests.socketio_ext.sockets import Client, answers_to, connected, opened, server_of
from tests.stacks import Observed
from tests.tracing.exported import Exported

TRACED = {"OBS_TRACING_ENABLED": "true"}


def events_of(observed: Observed) -> list[dict[str, Any]]:
    """Return the lines of events so far, those of connects and disconnects left out."""
    lines = [line for line in observed.lines() if line["logger"] == "divan_obs_asgi.access"]
    return [line for line in lines if line.get("event") not in ("connect", "disconnect")]


def test_the_line_of_a_call_has_only_the_shape_of_the_payload() -> None:
    """Size and shape say what was sent; the payload, and the session's id, stand in no line."""
    observed = Observed()
    server = server_of(observed, namespaces=["/chat"])

    async def say(sid: str, wish: object, *more: object) -> None: ...

    server.on("say", say, namespace="/chat")

    async def conversation() -> Client:
        client = await connected(server, "/chat")
        sid = client.sid("/chat")
        await client.send('2/chat,["say",{"text":"my secret","to":"b"},"four",[1,2],7,null,true]')
        assert sid not in observed.stream.getvalue().decode()
        return client

    anyio.run(conversation)
    (line,) = events_of(observed)
    assert (line["namespace"], line["event"]) == ("/chat", "say")
    assert line["msg"] == "EVENT /chat say"
    assert line["payload_shape"] == ["object:2", "string:4", "array:2", "number", "null", "boolean"]
    assert (line["status"], line["outcome"], line["level"]) == (None, "ok", "INFO")
    assert len(line["request_id"]) == 36
    assert "secret" not in observed.stream.getvalue().decode()


def test_an_events_id_is_made_by_the_applications_generator() -> None:
    """As that of a request."""
    observed = Observed(new_request_id=lambda: "shop-7")
    server = server_of(observed)

    async def say(sid: str) -> None: ...

    server.on("say", say)

    async def conversation() -> None:
        await (await connected(server)).send('2["say"]')

    anyio.run(conversation)
    assert [line["request_id"] for line in events_of(observed)] == ["shop-7"]


def test_what_is_logged_inside_of_a_handler_carries_the_ids_of_the_event() -> None:
    """And not those of the request by which the client has connected; two events have two ids."""
    observed = Observed()
    server = server_of(observed, async_handlers=True)
    logger = logging.getLogger("chat")

    async def say(sid: str) -> None:
        logger.warning("said by %s", sid)

    server.on("say", say)

    async def conversation() -> None:
        client = await connected(server)
        for _ in range(2):
            await client.send('2["say"]')
        # With `async_handlers` each of them is a task.
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))

    observed.obs.log.install()
    try:
        anyio.run(conversation)
    finally:
        logging.getLogger().handlers.pop()
    inside = [line for line in observed.lines() if line["logger"] == "chat"]
    assert [line["request_id"] for line in inside] == [line["request_id"] for line in events_of(observed)]
    assert len({line["request_id"] for line in inside}) == 2
    assert {line["msg"] for line in inside} == {"said by [redacted:session]"}
    assert {line["route"] for line in inside} == {"/ say"}


def test_line_and_span_of_an_event_carry_the_same_ids() -> None:
    """Its trace is its own, and links to the handshake's."""
    exported = Exported()
    observed = Observed(TRACED, span_exporter=exported)
    server = server_of(observed)

    async def say(sid: str) -> None:
        observed.obs.log.bind(user_id="u1")

    server.on("say", say)

    async def conversation() -> str:
        handshake = obs.RequestRecord.__new__(obs.RequestRecord)
        handshake.trace_id, handshake.span_id, handshake.sampled = "ab" * 16, "cd" * 8, True
        client = await opened(server, {"asgi.scope": {RECORD_KEY: handshake}})
        await client.connect()
        await client.send('2["say"]')
        return client.sid()

    sid = anyio.run(conversation)
    observed.obs.flush()
    (line,) = events_of(observed)
    span = next(span for span in exported.spans if span.name == "process / say")
    context = span.get_span_context()
    assert context is not None
    assert (line["trace_id"], line["span_id"]) == (f"{context.trace_id:032x}", f"{context.span_id:016x}")
    assert span.parent is None
    assert [f"{link.context.trace_id:032x}" for link in span.links] == ["ab" * 16]
    attributes = dict(span.attributes or {})
    assert (attributes["socketio.event"], attributes["socketio.namespace"]) == ("say", "/")
    assert attributes["messaging.system"] == "socketio"
    assert attributes["divan.request_id"] == line["request_id"]
    assert "user.id" not in attributes  # OBS_REDACT_USER_ID is "drop".
    assert str(attributes["socketio.sid"]).startswith("hash:")
    assert sid not in str(attributes)


def test_the_record_of_a_handshake_does_not_live_for_as_long_as_its_client() -> None:
    """A client that polls for hours keeps the ids of the request that it has connected by, and not all that it was."""
    observed = Observed(TRACED, span_exporter=Exported())
    server = server_of(observed)

    async def conversation() -> tuple[Any, Any]:
        scope: dict[str, Any] = {}
        handshake = obs.RequestRecord.__new__(obs.RequestRecord)
        handshake.trace_id = "ab" * 16
        scope[RECORD_KEY] = handshake
        client = await opened(server, {"asgi.scope": scope})
        await client.connect("/nowhere")
        while_it_runs = scope.get(RECORD_KEY)
        handshake.outcome = "ok"
        await client.connect()
        return while_it_runs, scope

    while_it_runs, scope = anyio.run(conversation)
    assert while_it_runs is not None
    assert scope == {}


def test_a_handler_that_raises_is_counted_logged_and_recorded() -> None:
    """The line names the event, the span holds the exception; neither holds the session's id."""
    exported = Exported()
    observed = Observed(TRACED, span_exporter=exported)
    server = server_of(observed)

    async def say(sid: str) -> None:
        raise KeyError(sid)

    server.on("say", say)

    async def conversation() -> str:
        client = await connected(server)
        with pytest.raises(KeyError):
            await client.send('2["say"]')
        return client.sid()

    sid = anyio.run(conversation)
    observed.obs.flush()
    assert observed.samples("divan_socketio_errors_total") == {
        (("event", "say"), ("namespace", "/"), ("type", "KeyError")): 1
    }
    (line,) = events_of(observed)
    assert (line["level"], line["outcome"], line["error"]["type"]) == ("ERROR", "error", "KeyError")
    assert sid not in str(line)
    span = next(span for span in exported.spans if span.name == "process / say")
    assert [event.name for event in span.events] == ["exception"]
    assert (span.attributes or {})["error.type"] == "KeyError"
    assert sid not in str([dict(event.attributes or {}) for event in span.events])


@pytest.mark.parametrize("answers", [False, True])
def test_the_client_of_a_failed_event_is_answered_where_the_flag_says_so(answers: bool) -> None:
    """Without it a client that asked for an acknowledgement waits for ever, as python-socketio has it."""
    observed = Observed({"OBS_SOCKETIO_ACK_ERRORS": str(answers)})
    server = server_of(observed)

    async def say(sid: str) -> None:
        raise LookupError("secret")

    server.on("say", say)

    async def conversation() -> list[str]:
        client = await connected(server)
        client.received()
        try:
            await client.send('27["say"]')
        except LookupError:
            assert not answers
        return client.received()

    packets = anyio.run(conversation)
    (line,) = events_of(observed)
    told = f'{{"error":{{"code":"internal_error","request_id":"{line["request_id"]}"}}}}'
    assert packets == ([f"37[{told}]"] if answers else [])


def test_the_hook_hears_of_every_error_and_may_answer_for_it() -> None:
    """`on_error` may be overridden or assigned, and may be async."""
    observed = Observed({"OBS_SOCKETIO_ACK_ERRORS": "true"})
    server = server_of(observed)
    heard: list[tuple[str, str, str]] = []

    async def on_error(error: Exception, event: str, namespace: str, sid: str) -> object:
        heard.append((type(error).__name__, event, namespace))
        return {"sorry": True}

    server.on_error = on_error
    server.on("say", lambda sid: 1 / 0)

    assert anyio.run(answers_to, server, '27["say"]') == ['37[{"sorry":true}]']
    assert heard == [("ZeroDivisionError", "say", "/")]


class Everything(socketio.AsyncNamespace):
    """Dispatches by itself."""

    async def trigger_event(self, event: str, *args: Any) -> Any:
        return None


def test_what_nobody_handles_is_counted_and_neither_logged_nor_traced() -> None:
    """There is no handler call; a catch-all handler is one, without a name of its own."""
    exported = Exported()
    observed = Observed(TRACED, span_exporter=exported)
    server = server_of(observed)
    server.on("*", lambda event, sid: None, namespace="/all")
    server.on("say", lambda sid: None)
    server.register_namespace(Everything("/own"))

    async def conversation() -> None:
        for namespace in ("/", "/all", "/own"):
            client = await connected(server, namespace)
            await client.send(f'2{"" if namespace == "/" else namespace + ","}["invented"]')

    anyio.run(conversation)
    observed.obs.flush()
    assert {line["msg"] for line in events_of(observed)} == {"EVENT /all __unknown__", "EVENT /own __unknown__"}
    names = [span.name for span in exported.spans]
    assert [name for name in names if "__unknown__" in name] == ["process /all __unknown__", "process /own __unknown__"]
    assert observed.value("divan_socketio_events_total", namespace="/", event="__unknown__") == 1


@pytest.mark.parametrize("event", ["1", "null", "true", "1.5", '"*"', '["say"]', "{}"])
@pytest.mark.parametrize("by_class", [False, True], ids=["catch_all", "class"])
def test_a_handler_of_everything_is_observed_however_an_event_is_called(event: str, by_class: bool) -> None:
    """A name need not be text; where python-socketio fails to look it up, nobody is called."""
    observed = Observed({"OBS_SOCKETIO_ACK_ERRORS": "true"})
    server = server_of(observed)
    called: list[object] = []

    def everything(name: object, *more: object) -> None:
        if name not in ("connect", "disconnect"):
            called.append(name)
            raise LookupError

    class Own(socketio.AsyncNamespace):
        async def trigger_event(self, event: str, *args: Any) -> Any:
            everything(event)

    if by_class:
        server.register_namespace(Own("/all"))
    else:
        server.on("*", everything, namespace="/all")

    async def conversation() -> None:
        client = await connected(server, "/all")
        with contextlib.suppress(TypeError):
            await client.send(f"2/all,[{event}]")

    anyio.run(conversation)
    assert len(called) == (by_class or event not in ('["say"]', "{}"))
    assert [line["outcome"] for line in events_of(observed)] == ["error"] * len(called)
    errors = observed.samples("divan_socketio_errors_total")
    assert errors == ({(("event", "__unknown__"), ("namespace", "/all"), ("type", "LookupError")): 1} if called else {})
    assert observed.value("divan_socketio_events_total", namespace="/all", event="__unknown__") == 1


@pytest.mark.parametrize("always_connect", [False, True])
@pytest.mark.parametrize("answers", [False, True])
def test_a_client_whose_connect_handler_fails_gets_an_error_under_the_flag(answers: bool, always_connect: bool) -> None:
    """Without it the client waits until it gives up, as python-socketio has it; the failure is told in both cases."""
    observed = Observed({"OBS_SOCKETIO_ACK_ERRORS": str(answers)})
    server = server_of(observed, always_connect=always_connect)

    async def connect(sid: str, environ: object, auth: object) -> None:
        raise TypeError("on purpose")

    server.on("connect", connect)

    async def conversation() -> list[str]:
        client = await opened(server)
        with contextlib.nullcontext() if answers else pytest.raises(TypeError):
            await client.connect()
        assert list(server.manager.get_namespaces()) == []
        return client.received()[always_connect:]

    packets = anyio.run(conversation)
    (line,) = observed.lines()
    answer = {"error": {"code": "internal_error", "request_id": line["request_id"]}}
    told = [json.loads(packet[1:]) for packet in packets]
    assert told == ([{"message": "internal_error", "data": answer}] if answers else [])
    assert [packet[:1] for packet in packets] == (["1" if always_connect else "4"] if answers else [])
    assert (line["outcome"], line["error"]["type"], line["connect"]) == ("error", "TypeError", "error")
    assert observed.value("divan_socketio_connects_total", namespace="/", outcome="error") == 1
    assert observed.value("divan_socketio_connects_total", namespace="/", outcome="refused") == 0


def test_a_cancelled_handler_is_logged_as_cancelled() -> None:
    """python-socketio swallows the cancellation; the line does not."""
    observed = Observed()
    server = server_of(observed)

    async def wait(sid: str) -> None:
        await asyncio.sleep(60)

    server.on("wait", wait)

    async def conversation() -> None:
        client = await connected(server)
        task = asyncio.create_task(client.send('2["wait"]'))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    anyio.run(conversation)
    assert [line["outcome"] for line in events_of(observed)] == ["cancelled"]


def test_a_task_that_goes_on_after_a_cancellation_is_logged_as_cancelled_once() -> None:
    """Where events are handled one after the other in one task, the next ones are none of it."""
    observed = Observed()
    server = server_of(observed)

    async def wait(sid: str, seconds: float) -> None:
        await asyncio.sleep(seconds)

    server.on("wait", wait)

    async def conversation() -> None:
        client = await connected(server)

        async def events() -> None:
            for seconds in (60, 0, 60, 0):
                await client.send(f'2["wait",{seconds}]')

        task = asyncio.create_task(events())
        for _ in range(2):
            await asyncio.sleep(0.01)
            task.cancel()
        await asyncio.wait([task])

    anyio.run(conversation)
    assert [line["outcome"] for line in events_of(observed)] == ["cancelled", "ok", "cancelled", "ok"]


def test_lines_of_events_are_sampled_like_those_of_requests() -> None:
    """Under load a share is written, and a failed event shows what its handler had logged."""
    observed = Observed({"LOG_SAMPLING_BUDGET": "1", "LOG_SAMPLING_RATE_INFO": "0", "LOG_LEVEL": "INFO"})
    server = server_of(observed)
    logger = logging.getLogger("chat")

    async def say(sid: str, good: bool) -> None:
        logger.info("on the way")
        if not good:
            raise LookupError

    server.on("say", say)

    def recorded() -> list[str]:
        return [line["msg"] for line in observed.lines() if line.get("recorded")]

    async def conversation() -> None:
        client = await connected(server)
        # Again where a second has begun before the failure: it has a budget of its own.
        while not recorded():
            for _ in range(20):
                await client.send('2["say",true]')
            with pytest.raises(LookupError):
                await client.send('2["say",false]')

    observed.obs.log.install()
    try:
        anyio.run(conversation)
    finally:
        logging.getLogger().handlers.pop()
    assert [line["outcome"] for line in events_of(observed)][-1] == "error"
    assert len(events_of(observed)) < 20
    assert recorded() == ["on the way"]


def test_an_event_that_is_called_like_pythonsocketios_own_is_an_event() -> None:
    """A client that sends "connect" or "disconnect" as an event's name connects and disconnects nobody."""
    observed = Observed()
    server = server_of(observed)
    server.on("connect", lambda sid, *more: None)
    server.on("disconnect", lambda sid, *more: None)

    async def conversation() -> None:
        client = await connected(server)
        await client.send('2["connect",{}]')
        await client.send('2["disconnect","transport close"]')

    anyio.run(conversation)
    assert observed.value("divan_socketio_connects_total", namespace="/", outcome="accepted") == 1
    assert observed.samples("divan_socketio_disconnects_total") == {}
    assert observed.value("divan_socketio_events_total", namespace="/", event="connect") == 1
    assert observed.value("divan_socketio_clients", namespace="/") == 1


def test_a_refused_connection_of_the_handlers_own_is_an_error() -> None:
    """Whom a database refuses has refused no client; only a connect handler does that by such an exception."""
    observed = Observed({"OBS_SOCKETIO_ACK_ERRORS": "true"})
    server = server_of(observed)

    async def say(sid: str) -> None:
        raise ConnectionRefusedError(111, "Connect call failed")

    server.on("say", say)

    (answer,) = anyio.run(answers_to, server, '27["say"]')
    (line,) = events_of(observed)
    assert "internal_error" in answer
    assert (line["outcome"], line["error"]["type"]) == ("error", "ConnectionRefusedError")
    assert observed.value("divan_socketio_errors_total", namespace="/", event="say", type="ConnectionRefusedError") == 1


@pytest.mark.parametrize("words", ["", ',"one","two"'])
def test_an_event_with_arguments_that_its_handler_does_not_take_is_an_error(words: str) -> None:
    """The handler was never entered; the client is answered, and count, line and span tell it all the same."""
    exported = Exported()
    observed = Observed({**TRACED, "OBS_SOCKETIO_ACK_ERRORS": "true"}, span_exporter=exported)
    server = server_of(observed)
    server.on("say", lambda sid, word: word)

    (answer,) = anyio.run(answers_to, server, f'27["say"{words}]')
    observed.obs.flush()
    (line,) = events_of(observed)
    assert line["request_id"] in answer
    assert (line["outcome"], line["error"]["type"]) == ("error", "TypeError")
    assert observed.value("divan_socketio_errors_total", namespace="/", event="say", type="TypeError") == 1
    assert [span.name for span in exported.spans if span.name == "process / say"] == ["process / say"]


def decorated(handler: Any) -> Any:
    """Take any arguments, as decorators do."""

    @functools.wraps(handler)
    async def call(*args: object) -> object:
        return await handler(*args)

    return call


async def takes_no_auth(sid: str, environ: object) -> None: ...


async def takes_auth(sid: str, environ: object, auth: object) -> None: ...


async def raises_without_auth(sid: str, environ: object) -> None:
    raise TypeError("on purpose")


async def raises_with_auth(sid: str, environ: object, auth: object) -> None:
    raise TypeError("on purpose")


async def takes_nothing() -> None: ...


@pytest.mark.parametrize("auth", ["", '{"token":1}'], ids=["without_auth", "with_auth"])
@pytest.mark.parametrize("wrapped", [lambda handler: handler, decorated], ids=["plain", "decorated"])
@pytest.mark.parametrize("answers", [False, True])
@pytest.mark.parametrize(
    "handler",
    [takes_no_auth, takes_auth, raises_without_auth, raises_with_auth, takes_nothing],
    ids=lambda handler: handler.__name__,
)
def test_a_connect_is_logged_once_with_its_outcome(handler: Any, wrapped: Any, auth: str, answers: bool) -> None:
    """python-socketio tries a handler with and without the client's data; what counts is whether it is connected."""
    exported = Exported()
    observed = Observed({**TRACED, "OBS_SOCKETIO_ACK_ERRORS": str(answers)}, span_exporter=exported)
    server = server_of(observed)
    heard: list[str] = []
    server.on_error = lambda error, *more: heard.append(str(error))
    server.on("connect", wrapped(handler))

    async def conversation() -> bool:
        client = await opened(server)
        with contextlib.suppress(TypeError):
            await client.connect(auth=auth)
        return bool(server.manager.is_connected(client.sid(), "/"))

    accepted = anyio.run(conversation)
    assert accepted == (handler is takes_auth or (handler is takes_no_auth and not auth))
    observed.obs.flush()
    (line,) = observed.lines()
    (span,) = (span for span in exported.spans if span.name == "process / connect")
    connects = {dict(labels)["outcome"]: n for labels, n in observed.samples("divan_socketio_connects_total").items()}
    assert {outcome: n for outcome, n in connects.items() if n} == {"accepted" if accepted else "error": 1}
    errors = observed.value("divan_socketio_errors_total", namespace="/", event="connect", type="TypeError")
    durations = observed.value("divan_socketio_event_duration_seconds_count", namespace="/", event="connect")
    assert (errors, durations, len(heard)) == (not accepted, 1, not accepted)
    assert line["outcome"] == (span.attributes or {})["divan.outcome"] == ("ok" if accepted else "error")
    if handler is raises_with_auth or (handler is raises_without_auth and not auth):
        assert wrapped is decorated or heard == ["on purpose"]


def test_a_disconnect_handler_that_raises_a_type_error_is_counted() -> None:
    """Though python-socketio calls it again without the reason."""
    observed = Observed()
    server = server_of(observed)

    def disconnect(sid: str, reason: str) -> None:
        raise TypeError("on purpose")

    server.on("disconnect", disconnect)

    async def conversation() -> None:
        client = await connected(server)
        with contextlib.suppress(TypeError):
            await client.close()

    anyio.run(conversation)
    assert observed.value("divan_socketio_errors_total", namespace="/", event="disconnect", type="TypeError") == 1


@pytest.mark.parametrize("is_async", [False, True])
def test_a_hook_that_raises_changes_nothing(is_async: bool) -> None:
    """It is counted by itself; the client is answered, and the handler's error told, as without it."""
    observed = Observed({"OBS_SOCKETIO_ACK_ERRORS": "true"})
    server = server_of(observed)

    def on_error(error: Exception, event: str, namespace: str, sid: str) -> object:
        raise RuntimeError(f"{sid} and a secret")

    async def on_error_later(*told: Any) -> object:
        return on_error(*told)

    server.on_error = on_error_later if is_async else on_error
    server.on("say", lambda sid: 1 / 0)

    (answer,) = anyio.run(answers_to, server, '27["say"]')
    (line,) = events_of(observed)
    assert json.loads(answer[2:]) == [{"error": {"code": "internal_error", "request_id": line["request_id"]}}]
    assert (line["outcome"], line["error"]["type"]) == ("error", "ZeroDivisionError")
    assert observed.value("divan_obs_errors_total", component="socketio_on_error") == 1
    assert "secret" not in observed.stream.getvalue().decode()


@pytest.mark.parametrize(
    ("argument", "shape"),
    [
        ("text", "string:4"),
        (b"\x00\x01", "binary:2"),
        ({"a": 1}, "object:1"),
        ([1, 2, 3], "array:3"),
        (1.5, "number"),
        (False, "boolean"),
        (None, "null"),
        (datetime(2026, 1, 1, tzinfo=UTC), "other"),  # Of MessagePack, which has more than JSON.
    ],
    ids=str,
)
def test_a_shape_tells_the_kind_and_the_size(argument: object, shape: str) -> None:
    """And nothing of what is in it."""
    assert shape_of(argument) == shape
