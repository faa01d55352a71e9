"""What is in flight, what responses weigh, why requests fail, and what WebSockets do."""

from __future__ import annotations

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

import divan_obs_asgi as obs
from divan_obs_asgi.connection.record import RECORD_KEY
from divan_obs_asgi.connection.routes import ROUTE_KEY
from divan_obs_asgi.metrics import Format
from divan_obs_asgi.middlewares import MetricsMiddleware, OpsMiddleware
from divan_obs_asgi.testing import SCENARIOS, Scenario, converse, http_scope, websocket_scope
from divan_obs_asgi.types import ASGIApp, Message, Receive, Scope, Send
from tests.stacks import BACKENDS, Observed, run_on

IN_FLIGHT = "divan_http_requests_in_flight"
OPEN = "divan_websocket_connections_open"
CONNECT: Message = {"type": "websocket.connect"}


def by(observed: Observed, name: str, *labels: str) -> dict[tuple[str, ...], float]:
    """Return the samples of one name by the values of some labels."""
    return {tuple(dict(key)[label] for label in labels): value for key, value in observed.samples(name).items()}


def answering(*bodies: bytes, status: int = 200) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        for number, body in enumerate(bodies, 1):
            await send({"type": "http.response.body", "body": body, "more_body": number < len(bodies)})

    return app


def raising(error: BaseException) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    return app


class Watching:
    """An application that notes a gauge while it is called."""

    def __init__(self, observed: Observed, gauge: str, app: ASGIApp) -> None:
        self.observed, self.gauge, self.app = observed, gauge, app
        self.seen: list[float] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen.append(self.observed.value(self.gauge))
        await self.app(scope, receive, send)


# --- in flight


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_what_has_begun_is_in_flight_until_it_ends(scenario: Scenario) -> None:
    """One while it lasts and none afterwards, however it ends; a WebSocket is no request."""
    observed = Observed()
    ours, other = (IN_FLIGHT, OPEN) if scenario.scope()["type"] == "http" else (OPEN, IN_FLIGHT)
    app = Watching(observed, ours, scenario.app)
    for _ in range(2):
        anyio.run(run, scenario, MetricsMiddleware(app, observed.obs))
    assert app.seen == [1.0, 1.0]
    assert observed.value(ours) == 0.0
    assert observed.samples(other) == {(): 0.0}


async def run(scenario: Scenario, app: ASGIApp) -> None:
    await converse(app, scenario.scope(), scenario.incoming, hangs_up_after=scenario.hangs_up_after)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_cancelled_request_is_in_flight_no_more(backend: str) -> None:
    """Where a client goes, or a shutdown ends it."""
    observed = Observed()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await anyio.sleep_forever()

    async def cancel() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(converse, stack, http_scope())
            await anyio.wait_all_tasks_blocked()
            assert observed.value(IN_FLIGHT) == 3.0
            tasks.cancel_scope.cancel()

    stack = MetricsMiddleware(app, observed.obs)
    run_on(backend, cancel)
    assert observed.value(IN_FLIGHT) == 0.0


@given(st.lists(st.integers(0, 4), max_size=30), st.sampled_from(["waits", "housekeeping", None]))
def test_in_flight_is_what_has_begun_and_not_ended(steps: list[int], turns_out: str | None) -> None:
    """In any order of beginnings and ends, with some that turn out to be none; and so it is never below zero."""
    observed = Observed()

    async def interleave() -> None:
        running: dict[int, anyio.Event] = {}
        async with anyio.create_task_group() as tasks:
            for step in steps:
                if step in running:
                    running.pop(step).set()
                else:
                    running[step] = anyio.Event()
                    tasks.start_soon(
                        converse, MetricsMiddleware(until(running[step], step), observed.obs), http_scope()
                    )
                await anyio.wait_all_tasks_blocked()
                assert observed.value(IN_FLIGHT) == sum(1 for number in running if number or turns_out is None)
            for event in running.values():
                event.set()

    def until(event: anyio.Event, number: int) -> ASGIApp:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if not number and turns_out is not None:
                setattr(scope[RECORD_KEY], turns_out, True)
            await event.wait()

        return app

    anyio.run(interleave)
    assert observed.value(IN_FLIGHT) == 0.0


def test_two_stacks_have_one_request_in_flight() -> None:
    """As they count it once."""
    observed = Observed()
    app = Watching(observed, IN_FLIGHT, answering(b""))
    inner = obs.build_stack(app, observed.obs, [MetricsMiddleware])
    anyio.run(converse, obs.build_stack(inner, observed.obs, [MetricsMiddleware]), http_scope())
    assert app.seen == [1.0]
    assert observed.value(IN_FLIGHT) == 0.0


def test_a_scrape_is_no_request_in_flight() -> None:
    """An idle service has none, also while somebody asks."""
    observed = Observed({"OBS_METRICS_PUBLIC": "true"})
    stack = obs.build_stack(answering(b""), observed.obs, [MetricsMiddleware, OpsMiddleware])
    page = anyio.run(converse, stack, http_scope("/metrics")).body
    assert f"\n{IN_FLIGHT} 0.0\n".encode() in page
    assert observed.value(IN_FLIGHT) == 0.0


# --- what waits


def test_what_waits_for_news_is_in_no_latency() -> None:
    """A long poll takes as long as nothing happens; it is counted, and is not in flight."""
    observed = Observed()

    async def poll(scope: Scope, receive: Receive, send: Send) -> None:
        record = scope[RECORD_KEY]
        record.waits = True
        record.declare_route("/socket.io")
        record._started -= 25
        assert observed.value(IN_FLIGHT) == 0.0
        await answering(b"news")(scope, receive, send)

    async def passed_on(scope: Scope, receive: Receive, send: Send) -> None:
        await poll(dict(scope), receive, send)

    for app in (poll, passed_on):
        anyio.run(converse, obs.build_stack(app, observed.obs), http_scope("/socket.io/"))
    assert by(observed, "divan_http_requests_total", "route", "status") == {("/socket.io", "200"): 2.0}
    assert by(observed, "divan_http_outcomes_total", "route", "outcome") == {("/socket.io", "ok"): 2.0}
    assert by(observed, "divan_http_response_size_bytes_sum", "route") == {("/socket.io",): 8.0}
    for name in ("request_duration", "first_byte"):
        assert sum(observed.samples(f"divan_http_{name}_seconds_count").values()) == 0.0


# --- responses


def test_a_response_is_weighed_and_its_first_byte_timed() -> None:
    """The bytes of all its parts; the time to its start beside the time to its end, for a stream is slow by design."""
    observed = Observed()

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        scope[ROUTE_KEY] = "/stream"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        scope[RECORD_KEY]._started -= 200
        await send({"type": "http.response.body", "body": b"a" * 150, "more_body": True})
        await send({"type": "http.response.body", "body": b"b" * 50})

    anyio.run(converse, MetricsMiddleware(stream, observed.obs), http_scope())
    assert by(observed, "divan_http_response_size_bytes_sum", "route", "method") == {("/stream", "GET"): 200.0}
    buckets = by(observed, "divan_http_response_size_bytes_bucket", "le")
    assert (buckets["100.0",], buckets["1000.0",]) == (0.0, 1.0)
    assert by(observed, "divan_http_first_byte_seconds_count", "route", "method") == {("/stream", "GET"): 1.0}
    assert observed.samples("divan_http_first_byte_seconds_sum").popitem()[1] < 100
    assert observed.samples("divan_http_request_duration_seconds_sum").popitem()[1] >= 200


def test_what_was_never_answered_has_no_first_byte() -> None:
    """It is a latency and no response."""
    observed = Observed()
    anyio.run(converse, MetricsMiddleware(raising(ValueError()), observed.obs), http_scope())
    assert sum(observed.samples("divan_http_request_duration_seconds_count").values()) == 1.0
    assert sum(observed.samples("divan_http_first_byte_seconds_count").values()) == 0.0
    assert sum(observed.samples("divan_http_response_size_bytes_count").values()) == 0.0


# --- failures


class Sold(Exception):
    """What an application's own exception is."""


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("error", "kinds"),
    [
        (ValueError("no"), ["ValueError"]),
        (Sold("out"), ["Sold"]),
        (ExceptionGroup("two", [Sold("out")]), ["Sold"]),
        (KeyboardInterrupt(), []),
    ],
    ids=repr,
)
def test_a_failure_is_counted_by_its_class(error: BaseException, kinds: list[str], backend: str) -> None:
    """Its text is nobody's label; what is no failure of the application's is none."""
    observed = Observed()
    run_on(backend, converse, MetricsMiddleware(raising(error), observed.obs), http_scope())
    assert by(observed, "divan_http_exceptions_total", "route", "type") == {
        ("__unmatched__", kind): 1.0 for kind in kinds
    }


def test_a_client_that_goes_is_no_failure() -> None:
    """Though `send` raises, and the application with it."""
    observed = Observed()
    stack = MetricsMiddleware(answering(b"hello"), observed.obs)
    anyio.run(lambda: converse(stack, http_scope(), hangs_up_after=1))
    assert by(observed, "divan_http_outcomes_total", "outcome") == {("client_disconnect",): 1.0}
    assert observed.samples("divan_http_exceptions_total") == {}


def test_classes_made_while_the_program_runs_are_bounded() -> None:
    """As all labels are."""
    observed = Observed({"OBS_METRICS_MAX_SERIES": "10"})
    for number in range(50):
        stack = MetricsMiddleware(raising(type(f"Made{number}", (Exception,), {})()), observed.obs)
        anyio.run(converse, stack, http_scope())
    counted = by(observed, "divan_http_exceptions_total", "type")
    assert (len(counted), counted["__overflow__",], sum(counted.values())) == (10, 41.0, 50.0)


# --- WebSockets


def conversing(*then: Message) -> ASGIApp:
    """Return an application that accepts, echoes until the client leaves, and sends these."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        scope[ROUTE_KEY] = "/ws/{room}"
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        for last in then:
            await send(last)

    return app


def test_messages_are_counted_while_the_connection_lasts() -> None:
    """By direction; a connection that lasts a day is no burst at its end."""
    observed = Observed()
    stack = MetricsMiddleware(conversing(), observed.obs)
    hello: Message = {"type": "websocket.receive", "text": "hello"}

    async def look() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(converse, stack, websocket_scope(), [CONNECT, hello, hello])
            await anyio.wait_all_tasks_blocked()
            assert observed.samples("divan_websocket_connections_total") == {}
            assert by(observed, "divan_websocket_messages_total", "route", "direction") == {
                ("/ws/{room}", "in"): 2.0,
                ("/ws/{room}", "out"): 2.0,
            }
            assert observed.value(OPEN) == 1.0
            tasks.cancel_scope.cancel()

    anyio.run(look)
    assert observed.value(OPEN) == 0.0
    assert by(observed, "divan_websocket_connections_total", "outcome") == {("cancelled",): 1.0}


@pytest.mark.parametrize(
    ("code", "label"),
    [*((code, str(code)) for code in (1000, 1001, 1003, 1005, 1006, 1011, 1015)), (1004, "_OTHER"), (4000, "_OTHER")],
)
def test_close_codes_are_a_closed_set(code: int, label: str) -> None:
    """Those that are registered; what a client or an application makes up is one class."""
    observed = Observed()
    bye: Message = {"type": "websocket.disconnect", "code": code}
    anyio.run(converse, MetricsMiddleware(conversing(), observed.obs), websocket_scope(), [CONNECT, bye])
    assert by(observed, "divan_websocket_closes_total", "route", "code") == {("/ws/{room}", label): 1.0}


def test_a_handshake_that_was_refused_has_no_close_code() -> None:
    """It was never open."""
    observed = Observed()
    refusing = next(scenario for scenario in SCENARIOS if scenario.name == "websocket_refused")
    anyio.run(run, refusing, MetricsMiddleware(refusing.app, observed.obs))
    assert observed.samples("divan_websocket_closes_total") == {}
    assert by(observed, "divan_websocket_connections_total", "outcome") == {("ok",): 1.0}


# --- exemplars


@pytest.mark.parametrize(("sampled", "shown"), [(True, True), (False, False), (None, False)])
def test_a_sampled_trace_is_the_exemplar(sampled: bool | None, shown: bool) -> None:
    """From a slow bucket one click leads to the trace; a trace that nobody has kept leads nowhere."""
    observed = Observed()
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope[RECORD_KEY].trace_id, scope[RECORD_KEY].sampled = trace_id, sampled
        await answering(b"")(scope, receive, send)

    anyio.run(converse, MetricsMiddleware(app, observed.obs), http_scope())
    page = observed.obs.metrics.render(Format.OPENMETRICS).decode()
    families = {line.partition("{")[0] for line in page.splitlines() if f'# {{trace_id="{trace_id}"}}' in line}
    expected = {"divan_http_request_duration_seconds_bucket", "divan_http_first_byte_seconds_bucket"}
    assert families == (expected if shown else set())
    assert trace_id not in observed.obs.metrics.render().decode()
