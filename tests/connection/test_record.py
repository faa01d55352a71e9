"""The record: the one clock of a connection, and the one judge of how it ended."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import anyio
import pytest
from starlette.websockets import WebSocketDisconnect

import divan_obs_asgi as obs
from divan_obs_asgi.connection.channel import Channel
from divan_obs_asgi.connection.record import RECORD_KEY, current_record
from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.connection.routes import ROUTE_KEY, RouteTemplates
from divan_obs_asgi.internal_errors import InternalErrors
from divan_obs_asgi.testing import SCENARIOS, Scenario, converse, http_scope, websocket_scope
from divan_obs_asgi.types import ASGIApp, Message, Receive, Scope, Send
from tests.stacks import Observed


class Witness(obs.RecordMiddleware):
    """Keeps every finished record."""

    component = "witness"

    def __init__(self, app: ASGIApp, bundle: obs.Observability) -> None:
        super().__init__(app, bundle)
        self.finished: list[RequestRecord] = []
        self.errors: list[BaseException | None] = []

    def observe(self, scope: Scope, record: RequestRecord) -> None:
        record.add_finisher(self.component, self.finish)

    def finish(self, record: RequestRecord) -> None:
        self.finished.append(record)
        self.errors.append(record.error)


def answering(*messages: Message) -> ASGIApp:
    """Return an application that sends these messages."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(dict(message))

    return app


START: Message = {"type": "http.response.start", "status": 200}
BODY: Message = {"type": "http.response.body", "body": b"hello"}


class SlowClock:
    """Seconds that pass only when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_every_end_has_its_outcome_and_status(scenario: Scenario) -> None:
    """However a connection ends, its record is finished once, with the right outcome and status."""
    witness = Witness(scenario.app, Observed().obs)
    anyio.run(run, scenario, witness)
    assert [(record.outcome, record.status) for record in witness.finished] == [(scenario.outcome, scenario.status)]


async def run(scenario: Scenario, app: ASGIApp) -> None:
    await converse(app, scenario.scope(), scenario.incoming, hangs_up_after=scenario.hangs_up_after)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(("started", "status"), [(False, 0), (True, 200)])
def test_a_cancelled_request_is_cancelled(backend: str, started: bool, status: int) -> None:
    """Cancellation is an outcome of its own, and neither a 500 nor a success."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if started:
            await send({"type": "http.response.start", "status": 200})
        await anyio.sleep_forever()

    async def main() -> None:
        with anyio.move_on_after(0.005):
            await converse(witness, http_scope())

    witness = Witness(app, Observed().obs)
    anyio.run(main, backend=backend)
    assert [(record.outcome, record.status) for record in witness.finished] == [("cancelled", status)]


@pytest.mark.parametrize(("started", "outcome", "status"), [(False, "error", 500), (True, "error_after_start", 200)])
def test_who_waits_for_what_was_cancelled_has_failed(started: bool, outcome: str, status: int) -> None:
    """Nobody has cancelled the request, and its server answers 500 as for any exception."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if started:
            await send({"type": "http.response.start", "status": 200})
        another = asyncio.create_task(asyncio.sleep(60))
        another.cancel()
        await another

    async def main() -> None:
        with pytest.raises(asyncio.CancelledError):
            await witness(http_scope(), receive, send)

    async def receive() -> Message:
        raise AssertionError("not called")

    async def send(message: Message) -> None: ...

    witness = Witness(app, Observed().obs)
    anyio.run(main)
    assert [(record.outcome, record.status) for record in witness.finished] == [(outcome, status)]


def test_a_background_task_is_no_latency() -> None:
    """The record is finished when the last byte is out, and not when the application returns."""
    finished_when_the_task_began = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"done"})
        finished_when_the_task_began.extend(witness.finished)

    witness = Witness(app, Observed().obs)
    anyio.run(converse, witness, http_scope())
    assert finished_when_the_task_began == witness.finished != []


def test_durations_come_from_one_clock() -> None:
    """Time to first byte and duration are seconds since the same start."""
    clock = SlowClock()
    finished: list[RequestRecord] = []

    async def receive() -> Any:
        raise AssertionError("nobody asked")

    async def send(message: Any) -> None:
        clock.now += 1.0

    async def main() -> None:
        record = RequestRecord(http_scope(), RouteTemplates(None), InternalErrors(lambda _: None), clock)
        channel = Channel(record, receive, send)
        record.add_finisher("test", finished.append)
        await channel.send({"type": "http.response.start", "status": 200})
        await channel.send({"type": "http.response.body", "body": b"abc", "more_body": True})
        await channel.send({"type": "http.response.body", "body": b"de"})

    anyio.run(main)
    assert [(r.first_byte_s, r.duration_s, r.response_bytes) for r in finished] == [(1.0, 3.0, 5)]


@pytest.mark.parametrize(
    ("method", "status", "size"), [("GET", 200, 5), ("HEAD", 200, 0), ("GET", 204, 0), ("GET", 304, 0)]
)
def test_bytes_are_those_that_leave(method: str, status: int, size: int) -> None:
    """HEAD, 204 and 304 have no content, whatever the application hands over."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status})
        await send({"type": "http.response.body", "body": b"hello"})

    witness = Witness(app, Observed().obs)
    anyio.run(lambda: converse(witness, http_scope(method=method)))
    assert [record.response_bytes for record in witness.finished] == [size]


def test_a_handled_exception_is_the_records_error() -> None:
    """Where an error handler answers 500 and raises later, the line at the end of the answer has the exception."""
    error = ValueError("on purpose")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            raise error
        except ValueError:
            await send({"type": "http.response.start", "status": 500})
            await send({"type": "http.response.body"})
            raise

    witness = Witness(app, Observed().obs)
    anyio.run(converse, witness, http_scope())
    assert witness.errors == [error]


def test_a_record_holds_no_scope_server_finisher_or_exception_when_the_call_has_ended() -> None:
    """What outlives the call, and logs with its ids, keeps nothing else of it; messages are forwarded all the same."""
    kept: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        kept.extend((scope, send, current_record.get()))
        await send({"type": "http.response.start", "status": 200})
        raise LookupError("on purpose")

    sent: list[Message] = []

    async def server_sends(message: Message) -> None:
        sent.append(message)

    async def main() -> None:
        with pytest.raises(LookupError):
            await Witness(app, Observed().obs)(http_scope(), sleep_for_ever, server_sends)
        await kept[1]({"type": "http.response.body"})

    async def sleep_for_ever() -> Message:
        await anyio.sleep_forever()
        raise AssertionError("unreachable")

    anyio.run(main)
    scope, _, record = kept
    assert RECORD_KEY not in scope
    assert (record.outcome, record.error, record._scope, record._finishers) == ("error_after_start", None, {}, {})
    assert all(found is not server_sends for found in vars(record).values())
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]


def test_a_finisher_that_raises_stops_no_other() -> None:
    """A broken observer is counted and left out; the response and the other observers go on."""

    class Broken(obs.RecordMiddleware):
        component = "broken"

        def observe(self, scope: Scope, record: RequestRecord) -> None:
            record.add_finisher(self.component, self.fail)

        def fail(self, record: RequestRecord) -> None:
            raise RuntimeError("on purpose")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"fine"})

    observed = Observed()
    witness = Witness(Broken(app, observed.obs), observed.obs)
    done = anyio.run(converse, Broken(witness, observed.obs), http_scope())
    assert (done.body, done.error, len(witness.finished)) == (b"fine", None, 1)
    assert observed.value("divan_obs_errors_total", component="broken") == 1


@pytest.mark.parametrize(
    ("status", "told", "outcome"),
    [
        ("200", 200, "ok"),
        (200.0, 200, "ok"),
        (b"503", 503, "error"),
        (None, 0, "incomplete"),
        ("two hundred", 0, "incomplete"),
        (float("inf"), 0, "incomplete"),
    ],
)
def test_a_status_that_is_no_number_costs_no_line(status: object, told: int, outcome: str) -> None:
    """Some servers send it and some refuse it: it is read as they read it, and counted as a fault of the record."""
    observed = Observed()
    stack = obs.build_stack(answering({"type": "http.response.start", "status": status}, BODY), observed.obs)
    done = anyio.run(converse, stack, http_scope())
    (line,) = [line for line in observed.lines() if line["logger"] == "divan_obs_asgi.access"]
    assert (line["status"], line["outcome"]) == (told, outcome)
    assert observed.value("divan_obs_errors_total", component="record") == 1
    assert done.sent[0]["status"] is status


@pytest.mark.parametrize(("status", "told"), [(HTTPStatus.CREATED, 201), (1000, 1000), (-1, -1), (1 << 64, 0)])
def test_an_odd_number_is_the_applications_business(status: int, told: int) -> None:
    """It is told as it was sent, unless no line can hold it."""
    observed = Observed()
    stack = obs.build_stack(answering({"type": "http.response.start", "status": status}, BODY), observed.obs)
    anyio.run(converse, stack, http_scope())
    assert [line["status"] for line in observed.lines()] == [told]
    assert observed.value("divan_obs_errors_total", component="record") == 0


@pytest.mark.parametrize(
    ("message", "close_code", "outcome"),
    [
        ({"type": "websocket.close"}, 1000, "ok"),
        ({"type": "websocket.close", "code": None}, 1000, "ok"),
        ({"type": "websocket.close", "code": "1011"}, 1000, "ok"),
        ({"type": "websocket.close", "code": 1 << 70}, 1000, "ok"),
        ({"type": "websocket.close", "code": 1010}, 1010, "ok"),
        ({"type": "websocket.close", "code": 1011}, 1011, "error"),
        ({"type": "websocket.close", "code": 1014}, 1014, "error"),
        ({"type": "websocket.close", "code": 1015}, 1015, "ok"),
    ],
)
def test_how_a_server_closes(message: Message, close_code: int, outcome: str) -> None:
    """1011 to 1014 say that the server itself failed; what is no code is closed normally."""
    observed = Observed()
    stack = obs.build_stack(answering({"type": "websocket.accept"}, message), observed.obs)
    anyio.run(converse, stack, websocket_scope())
    assert [(line["close_code"], line["outcome"]) for line in observed.lines()] == [(close_code, outcome)]


@pytest.mark.parametrize(
    ("message", "close_code", "outcome"),
    [
        # ASGI, "Disconnect": the code is 1005 where the client gave none.
        ({"type": "websocket.disconnect"}, 1005, "ok"),
        ({"type": "websocket.disconnect", "code": None}, 1005, "ok"),
        ({"type": "websocket.disconnect", "code": 1000}, 1000, "ok"),
        ({"type": "websocket.disconnect", "code": 1001}, 1001, "ok"),
        ({"type": "websocket.disconnect", "code": 1005}, 1005, "ok"),
        ({"type": "websocket.disconnect", "code": 1006}, 1006, "client_disconnect"),
        ({"type": "websocket.disconnect", "code": 1011}, 1011, "client_disconnect"),
        ({"type": "websocket.disconnect", "code": 1012}, 1012, "ok"),
        ({"type": "websocket.disconnect", "code": 4000}, 4000, "client_disconnect"),
    ],
)
def test_how_a_client_closes(message: Message, close_code: int, outcome: str) -> None:
    """
    1000, 1001 and no code at all are goodbyes, as is 1012, by which a server says that it ends; with anything else the
    connection was lost.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await receive()

    observed = Observed()
    anyio.run(converse, obs.build_stack(app, observed.obs), websocket_scope(), [message])
    assert [(line["close_code"], line["outcome"]) for line in observed.lines()] == [(close_code, outcome)]


FAILURE = ValueError("on its way out")


@pytest.mark.parametrize(
    ("code", "error", "outcome", "level"),
    [
        (1000, None, "ok", "INFO"),
        (1000, WebSocketDisconnect(1000), "ok", "INFO"),
        (1000, KeyboardInterrupt(), "ok", "INFO"),
        (1000, FAILURE, "error_after_start", "ERROR"),
        (1006, WebSocketDisconnect(1006), "client_disconnect", "INFO"),
        (1006, FAILURE, "client_disconnect", "ERROR"),
        (1006, ExceptionGroup("", [WebSocketDisconnect(1006), FAILURE]), "client_disconnect", "ERROR"),
    ],
)
def test_what_fails_after_a_client_has_closed_is_told(
    code: int, error: BaseException | None, outcome: str, level: str
) -> None:
    """A handler that breaks while it tidies up is an ERROR; one that learns that its client has gone is none."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await receive()
        if error is not None:
            raise error

    observed = Observed()
    stack = obs.build_stack(app, observed.obs)
    anyio.run(converse, stack, websocket_scope(), [{"type": "websocket.disconnect", "code": code}])
    (line,) = observed.lines()
    assert (line["outcome"], line["close_code"], line["level"]) == (outcome, code, level)
    assert ("error" in line) == (level == "ERROR")


def test_tidying_up_after_a_websocket_is_not_in_its_duration() -> None:
    """The connection ends where its client closes it; what the handler says afterwards reaches nobody."""
    clock = SlowClock()
    left: list[Message] = [{"type": "websocket.disconnect", "code": code} for code in (1001, 1006)]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        clock.now += 2
        await receive()
        clock.now += 60
        await send({"type": "websocket.send", "text": "anybody there?"})
        await send({"type": "websocket.close", "code": 1011})
        await receive()

    async def sent_to_nobody(message: Message) -> None: ...

    async def receive() -> Message:
        return left.pop(0)

    record = RequestRecord(websocket_scope(), RouteTemplates(app), InternalErrors(lambda _: None), clock)
    channel = Channel(record, receive, sent_to_nobody)
    anyio.run(app, {}, channel.receive, channel.send)
    record.returned()
    assert (record.duration_s, record.outcome, record.close_code, record.messages_sent) == (2, "ok", 1001, 0)


def test_a_handshake_that_is_accepted_after_its_client_has_left_is_none() -> None:
    """Some servers take the message all the same."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 1011})

    witness = Witness(app, Observed().obs)
    anyio.run(converse, witness, websocket_scope(), [{"type": "websocket.disconnect", "code": 1006}])
    assert [(record.outcome, record.status) for record in witness.finished] == [("client_disconnect", 0)]


@pytest.mark.parametrize(
    "message",
    [
        {"type": "http.response.start"},
        {"type": "http.response.body", "body": 5},
        {"type": "http.response.zerocopysend", "count": "seven"},
    ],
)
def test_a_message_that_is_none_is_the_servers_business(message: Message) -> None:
    """It is forwarded as it is, and what the record does not understand of it is counted as a fault of the record."""
    observed = Observed()
    done = anyio.run(converse, obs.build_stack(answering(message), observed.obs), http_scope())
    assert [{key: done.sent[0][key] for key in message}, done.error] == [message, None]
    assert observed.value("divan_obs_errors_total", component="record") == 1
    assert [line["outcome"] for line in observed.lines() if "outcome" in line] == ["incomplete"]


def test_a_body_without_a_start_is_no_response() -> None:
    """Whatever the server makes of it: there is no status to tell."""
    witness = Witness(answering(BODY), Observed().obs)
    anyio.run(converse, witness, http_scope())
    assert [(record.outcome, record.status) for record in witness.finished] == [("incomplete", 0)]


def test_a_handshake_that_is_closed_after_its_client_has_left_is_no_refusal() -> None:
    """Nobody was told a 403."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "websocket.disconnect"
        await send({"type": "websocket.close", "code": 1000})

    witness = Witness(app, Observed().obs)
    anyio.run(converse, witness, websocket_scope(), [{"type": "websocket.disconnect", "code": 1006}])
    assert [(record.outcome, record.status) for record in witness.finished] == [("client_disconnect", 0)]


def test_a_file_that_the_kernel_copies_is_counted() -> None:
    """In as many parts as there are; one of unknown size counts nothing."""
    part = {"type": "http.response.zerocopysend", "file": 3}
    app = answering(START, {**part, "count": 7, "more_body": True}, {**part, "more_body": True}, {**part, "count": 5})
    witness = Witness(app, Observed().obs)
    anyio.run(converse, witness, http_scope())
    assert [(record.outcome, record.response_bytes) for record in witness.finished] == [("ok", 12)]


@pytest.mark.parametrize(
    "last",
    [
        BODY,
        {"type": "http.response.pathsend", "path": "/srv/a"},
        {"type": "http.response.zerocopysend", "file": 3, "count": 5},
    ],
    ids=lambda message: message["type"],
)
def test_announced_trailers_belong_to_the_response(last: Message) -> None:
    """Without them it is not whole, and with them it ends with the last of them."""
    started = {**START, "trailers": True}
    trailers: Message = {"type": "http.response.trailers", "headers": []}
    witness = Witness(answering(started, last), Observed().obs)
    anyio.run(converse, witness, http_scope())
    whole = Witness(answering(started, last, {**trailers, "more_trailers": True}, trailers), Observed().obs)
    anyio.run(converse, whole, http_scope())
    cut = Witness(answering(started, last, {**trailers, "more_trailers": True}), Observed().obs)
    anyio.run(converse, cut, http_scope())
    outcomes = [record.outcome for record in (*witness.finished, *whole.finished, *cut.finished)]
    assert outcomes == ["incomplete", "ok", "incomplete"]


def test_of_two_finishers_of_one_component_the_outer_one_is_called() -> None:
    """A stack within a stack reports to the bundle of the outer one."""
    called: list[str] = []

    class Outer(obs.RecordMiddleware):
        component = "same"

        def observe(self, scope: Scope, record: RequestRecord) -> None:
            record.add_finisher(self.component, lambda record: called.append(type(self).__name__))

    class Inner(Outer): ...

    bundle = Observed().obs
    anyio.run(converse, Outer(Inner(answering(START, BODY), bundle), bundle), http_scope())
    assert called == ["Outer"]


def test_the_route_of_a_finished_connection_stays() -> None:
    """A line of a background task has the route of its request, whatever has been done to the scope since."""
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        record = scope[RECORD_KEY]
        seen.append(record.route_so_far())
        scope[ROUTE_KEY] = "/users/{id}"
        seen.append(record.route_so_far())
        await send(START)
        await send(BODY)
        scope[ROUTE_KEY] = "/other"
        seen.append(record.route_so_far())

    anyio.run(converse, Witness(app, Observed().obs), http_scope())
    assert seen == ["__unmatched__", "/users/{id}", "/users/{id}"]


def test_inner_finishers_go_first() -> None:
    """What stands nearer to the application sees the finished record first."""
    order = []

    def named(name: str) -> type[obs.RecordMiddleware]:
        class Named(obs.RecordMiddleware):
            component = name

            def observe(self, scope: Scope, record: RequestRecord) -> None:
                record.add_finisher(name, lambda record: order.append(name))

        return Named

    async def app(scope: Scope, receive: Receive, send: Send) -> None: ...

    bundle = Observed().obs
    anyio.run(converse, named("outer")(named("inner")(app, bundle), bundle), http_scope())
    assert order == ["inner", "outer"]


def test_a_stack_within_a_stack_observes_once() -> None:
    """One connection has one record, however many stacks it passes."""
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope[RECORD_KEY], current_record.get()))
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})

    observed = Observed()
    stack = obs.build_stack(obs.build_stack(app, observed.obs), observed.obs)
    done = anyio.run(converse, stack, http_scope())
    assert seen[0][0] is seen[0][1]
    assert len(done.header(b"x-request-id")) == 1
    assert len(observed.lines()) == 1
    labels = {"route": "__unmatched__", "method": "GET", "status": "200"}
    assert observed.value("divan_http_requests_total", **labels) == 1
