"""Log line, span, counter and histogram of a request say the same, however it ends."""

from __future__ import annotations

from typing import Any

import anyio
from hypothesis import example, given
from hypothesis import strategies as st

import divan_obs_asgi as obs
from divan_obs_asgi.metrics import FAMILIES
from divan_obs_asgi.record import RequestRecord
from divan_obs_asgi.routes import ROUTE_KEY
from divan_obs_asgi.testing import SCENARIOS, converse, http_scope, websocket_scope
from divan_obs_asgi.types import ASGIApp, Message, Receive, Scope, Send
from tests.stacks import Observed
from tests.tracing.exported import Exported

statuses = st.integers(100, 599)
http_messages = st.one_of(
    st.builds(
        lambda status, trailers: {"type": "http.response.start", "status": status, "headers": [], "trailers": trailers},
        statuses,
        st.booleans(),
    ),
    st.builds(
        lambda size, more: {"type": "http.response.body", "body": b"x" * size, "more_body": more},
        st.integers(0, 9),
        st.booleans(),
    ),
    st.builds(lambda more: {"type": "http.response.trailers", "headers": [], "more_trailers": more}, st.booleans()),
    st.just({"type": "http.response.pathsend", "path": "/srv/a"}),
    st.just({"type": "http.response.early_hint", "links": []}),
)
websocket_messages = st.one_of(
    st.just({"type": "websocket.accept"}),
    st.just({"type": "websocket.send", "text": "hi"}),
    st.builds(lambda code: {"type": "websocket.close", "code": code}, st.sampled_from([1000, 1001, 1008, 1011, 4000])),
    st.builds(lambda status: {"type": "websocket.http.response.start", "status": status}, statuses),
    st.builds(lambda more: {"type": "websocket.http.response.body", "body": b"no", "more_body": more}, st.booleans()),
)
ends = st.sampled_from(["return", "raise", "interrupt", "wait"])
http_incoming = st.lists(
    st.sampled_from([{"type": "http.request", "body": b"", "more_body": False}, {"type": "http.disconnect"}]),
    max_size=2,
)
websocket_incoming = st.lists(
    st.one_of(
        st.just({"type": "websocket.connect"}),
        st.just({"type": "websocket.receive", "text": "hi"}),
        st.builds(lambda code: {"type": "websocket.disconnect", "code": code}, st.sampled_from([1000, 1005, 1006])),
    ),
    max_size=3,
)


class Interrupt(BaseException):
    pass


class Witness(obs.RecordMiddleware):
    component = "witness"

    def observe(self, scope: Scope, record: RequestRecord) -> None:
        record.add_finisher(self.component, finished.append)


finished: list[RequestRecord] = []
exported = Exported()
observed = Observed(
    {"OBS_TRACING_ENABLED": "true", "LOG_SAMPLING_BUDGET": "999999999"},
    span_exporter=exported,
)


def scripted(messages: list[Message], receives: int, end: str, route: str | None) -> ASGIApp:
    """Return an application that reads, sends and ends as told, however wrong that is."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if route is not None:
            scope[ROUTE_KEY] = route
        for _ in range(receives):
            await receive()
        for message in messages:
            await send(dict(message))
        if end == "raise":
            raise ValueError("on purpose")
        if end == "interrupt":
            raise Interrupt
        if end == "wait":
            await anyio.sleep_forever()

    return app


async def drive(app: ASGIApp, scope: Scope, incoming: list[Message], hangs_up_after: int | None) -> None:
    with anyio.move_on_after(0.001):
        await converse(app, scope, incoming, hangs_up_after=hangs_up_after)


@given(
    websocket=st.just(False),
    messages=st.lists(http_messages, max_size=5),
    incoming=http_incoming,
    receives=st.integers(0, 2),
    end=ends,
    hangs_up_after=st.none() | st.integers(0, 4),
    route=st.none() | st.sampled_from(["/users/{id}", "/"]),
    method=st.sampled_from(["GET", "HEAD", "POST", "BREW"]),
)
def test_signals_of_a_request_agree(**case: Any) -> None:
    """Route, method, status, outcome and duration of a request are the same in all four signals."""
    agree(**case)


@given(
    websocket=st.just(True),
    messages=st.lists(websocket_messages, max_size=5),
    incoming=websocket_incoming,
    receives=st.integers(0, 3),
    end=ends,
    hangs_up_after=st.none() | st.integers(0, 4),
    route=st.none() | st.sampled_from(["/ws/{room}"]),
    method=st.just("GET"),
)
# A close code that was sent after the client had closed: the first one counts.
@example(
    websocket=True,
    messages=[{"type": "websocket.accept"}, {"type": "websocket.close", "code": 1011}],
    incoming=[{"type": "websocket.disconnect", "code": 1006}],
    receives=1,
    end="return",
    hangs_up_after=None,
    route=None,
    method="GET",
)
def test_signals_of_a_websocket_agree(**case: Any) -> None:
    """Route, outcome, close code and duration of a WebSocket are the same in all four signals."""
    agree(**case)


def test_signals_of_every_scenario_agree() -> None:
    """The same for each end that the contract knows."""
    for scenario in SCENARIOS:
        stack = fresh(scenario.app)
        anyio.run(drive, stack, scenario.scope(), list(scenario.incoming), scenario.hangs_up_after)
        check()


def agree(
    websocket: bool,
    messages: list[Message],
    incoming: list[Message],
    receives: int,
    end: str,
    hangs_up_after: int | None,
    route: str | None,
    method: str,
) -> None:
    stack = fresh(scripted(messages, receives, end, route))
    scope = websocket_scope() if websocket else http_scope(method=method)
    anyio.run(drive, stack, scope, incoming, hangs_up_after)
    check()


def fresh(app: ASGIApp) -> ASGIApp:
    finished.clear()
    observed.obs.flush()
    exported.spans.clear()
    observed.stream.seek(0)
    observed.stream.truncate()
    for family in FAMILIES:
        if family.labels and family.name.startswith(("http_", "websocket_")):
            observed.obs.metrics.of(family).clear()
    return obs.build_stack(Witness(app, observed.obs), observed.obs)


def check() -> None:
    """Hold the four signals of the one connection since `fresh` against its record."""
    observed.obs.flush()
    (record,) = finished
    (span,) = exported.spans
    (line,) = observed.lines()
    attributes = dict(span.attributes or {})

    assert line["msg"] == f"{record.method} {record.route}"
    # HTTP semantic conventions: a span is not named after the stand-in for a method.
    assert span.name == f"{record.method.replace('_OTHER', 'HTTP')} {record.route}"
    assert attributes["http.route"] == line["route"] == record.route
    assert attributes["divan.outcome"] == line["outcome"] == record.outcome
    assert attributes.get("http.response.status_code", 0) == line["status"] == record.status
    assert attributes.get("websocket.close_code") == line.get("close_code") == record.close_code
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.end_time - span.start_time == int(record.duration_s * 1e9)
    assert line["latency_ms"] == int(record.duration_s * 1e6) / 1e3
    assert (line["trace_id"], line["span_id"]) == (record.trace_id, record.span_id)
    assert span.context is not None
    assert (f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}") == (record.trace_id, record.span_id)

    assert observed.value("divan_http_requests_in_flight") == observed.value("divan_websocket_connections_open") == 0
    if record.kind == "http":
        check_http(record)
        counter = {"route": record.route, "method": record.method, "status": str(record.status)}
        histogram = {"route": record.route, "method": record.method}
        names = "divan_http_requests_total", "divan_http_request_duration_seconds"
    else:
        check_websocket(record)
        counter = {"route": record.route, "outcome": str(record.outcome)}
        histogram = {"route": record.route}
        names = "divan_websocket_connections_total", "divan_websocket_duration_seconds"
    assert observed.samples(names[0]) == {tuple(sorted(counter.items())): 1}
    assert observed.samples(f"{names[1]}_count") == {tuple(sorted(histogram.items())): 1}
    assert observed.samples(f"{names[1]}_sum") == {tuple(sorted(histogram.items())): record.duration_s}


def labels(**values: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(values.items()))


def check_http(record: RequestRecord) -> None:
    at = labels(route=record.route, method=record.method)
    started = record.first_byte_s is not None
    assert observed.samples("divan_http_outcomes_total") == {labels(route=record.route, outcome=str(record.outcome)): 1}
    assert observed.samples("divan_http_first_byte_seconds_count")[at] == started
    assert observed.samples("divan_http_first_byte_seconds_sum")[at] == (record.first_byte_s or 0)
    assert observed.samples("divan_http_response_size_bytes_count")[at] == started
    assert observed.samples("divan_http_response_size_bytes_sum")[at] == (record.response_bytes if started else 0)
    failed = isinstance(record.error, Exception) and record.error is not record.hang_up
    assert observed.samples("divan_http_exceptions_total") == (
        {labels(route=record.route, type=type(record.error).__name__): 1} if failed else {}
    )


def check_websocket(record: RequestRecord) -> None:
    ways = (("in", record.messages_received), ("out", record.messages_sent))
    told = {dict(at)["direction"]: count for at, count in observed.samples("divan_websocket_messages_total").items()}
    assert told == {way: count for way, count in ways if count}
    codes = {dict(at)["code"]: count for at, count in observed.samples("divan_websocket_closes_total").items()}
    code = record.close_code
    assert codes == ({} if code is None else {"_OTHER" if code >= 3000 else str(code): 1})
    assert not any(map(observed.samples, ("divan_http_requests_total", "divan_http_request_duration_seconds_count")))
