"""
The parts that every variant shares: one app, one request, one span exporter, one log sink.

A variant is checked before it is timed: it must respond with an id, write one complete log line, count one
request and hand over a span (or none, by its mode), so that a misconfigured one cannot win by doing nothing.
"""

from __future__ import annotations

import gc
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import orjson
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, format_trace_id
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Scope

Mode: TypeAlias = Literal["on", "0.1", "off"]
MODES: dict[Mode, str] = {
    "on": "every span recorded",
    "0.1": "parentbased_traceidratio 0.1",
    "off": "tracing off",
}
ROUTE = "/users/{user_id}"
SERVICE, ENVIRONMENT, COMMIT = "divan-api", "production", "0d1e2f3a"
LOG_FIELDS = frozenset(
    {"ts", "level", "msg", "service", "env", "commit", "request_id", "route", "status", "latency_ms"}
)
# The same edges for all; a latency of microseconds falls into the first one.
BUCKETS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.12, 0.15, 0.2, 0.3, 0.4, 0.5, 1.0, 2.5, 5.0)

# What a browser's fetch() looks like behind a proxy. No traceparent: the sampler decides. No X-Request-Id: one is made.
HEADERS = (
    (b"host", b"api.example.org"),
    (b"x-forwarded-for", b"203.0.113.7"),
    (b"x-forwarded-proto", b"https"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"),
    (b"accept", b"application/json, text/plain, */*"),
    (b"accept-language", b"de,en-US;q=0.7,en;q=0.3"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"referer", b"https://www.example.org/people"),
    (b"cookie", b"session=5f0c9d0e7b7a4b0a8d5b; theme=dark"),
    (b"connection", b"keep-alive"),
)


class Sink:
    """A log file that keeps what was written last and throws the rest away, without a system call."""

    def __init__(self) -> None:
        self.lines = 0
        self.last = b""

    def write(self, data: bytes) -> int:
        self.lines += data.count(b"\n")
        self.last = data
        return len(data)

    def flush(self) -> None:
        """Have nothing to flush."""


class Discard(SpanExporter):
    """An exporter that keeps the last span and throws the others away."""

    def __init__(self) -> None:
        self.spans = 0
        self.last: ReadableSpan | None = None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans += len(spans)
        self.last = spans[-1]
        return SpanExportResult.SUCCESS


@dataclass(frozen=True)
class Variant:
    """
    An app to be timed, and where to see what it did.

    Attributes:
        flush: empties its span queue; not timed.
        counted: reads its counter.
        settle: writes the log lines that are still queued; timed, since others have written theirs by then.
    """

    name: str
    mode: Mode
    app: ASGIApp
    sink: Sink
    exporter: Discard
    flush: Callable[[], object]
    counted: Callable[[], float]
    settle: Callable[[], object] = lambda: None


class Misconfigured(Exception):
    """A variant does not do the job that it is timed for."""


def application(*middleware: Middleware) -> Starlette:
    """Return the app under measurement: one route, a small JSON answer."""

    async def user(request: Request) -> JSONResponse:
        return JSONResponse({"id": request.path_params["user_id"], "name": "Ada", "online": True})

    return Starlette(routes=[Route(ROUTE, user)], middleware=list(middleware))


def bare() -> Variant:
    """Return the app that nothing observes; there is nothing to verify."""
    return Variant("bare", "off", application(), Sink(), Discard(), flush=lambda: None, counted=lambda: 0.0)


def tracer_provider(mode: Mode, exporter: SpanExporter) -> TracerProvider:
    """Return a stock SDK provider whose batch processor exports to `exporter`."""
    sampler = ALWAYS_ON if mode == "on" else ParentBased(TraceIdRatioBased(0.1))
    provider = TracerProvider(sampler=sampler, resource=Resource.create({"service.name": SERVICE}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def new_scope(*headers: tuple[bytes, bytes]) -> Scope:
    """Return the scope that uvicorn would build, with nothing shared that a middleware may change."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("10.0.0.5", 8000),
        "client": ("10.0.0.9", 51234),
        "scheme": "http",
        "root_path": "",
        "method": "GET",
        "path": "/users/42",
        "raw_path": b"/users/42",
        "query_string": b"",
        "headers": [*HEADERS, *headers],
        "state": {},
    }


class Cycle:
    """
    What a server keeps for a request: its scope, and the `receive` and `send` that an application is called with.

    They are methods, as in uvicorn, hypercorn and daphne: what holds `send` beyond the request holds the scope too.
    """

    def __init__(self, *headers: tuple[bytes, bytes]) -> None:
        self.scope = new_scope(*headers)

    async def receive(self) -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Message) -> None:
        pass


class KeepingCycle(Cycle):
    """Keeps what the application has sent."""

    def __init__(self, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(*headers)
        self.sent: list[Message] = []

    async def send(self, message: Message) -> None:
        self.sent.append(message)


async def burst(variant: Variant, requests: int) -> float:
    """Return the microseconds of processor time that a request took, over `requests` of them one after the other."""
    app = variant.app
    cycles = [Cycle() for _ in range(requests)]
    gc.collect()  # What other variants left behind is not this one's to clear; its own garbage is.
    start = time.process_time()
    while cycles:
        # As a server does, the request is let go of when it is answered, and all that hangs on it.
        cycle = cycles.pop()
        await app(cycle.scope, cycle.receive, cycle.send)
    variant.settle()
    took_s = time.process_time() - start
    variant.flush()
    return took_s / requests * 1e6


async def verify(variant: Variant) -> None:
    """
    Send a few requests and look at what came of them.

    Raises:
        Misconfigured: if the id, the log line, the count or the span is missing or wrong.
    """
    sent_id = str(uuid.uuid4())
    counted = variant.counted()
    kept_id = await _answered_id(variant.app, (b"x-request-id", sent_id.encode()))
    made_id = await _answered_id(variant.app)
    variant.settle()
    variant.flush()
    _check(variant, kept_id == sent_id, "a request id is kept")
    _check(variant, made_id not in (None, sent_id), "a request without an id gets one")
    _check(variant, variant.counted() == counted + 2, "the counter counts 2 requests")
    _check(variant, variant.sink.lines == 2, f"one log line a request, not {variant.sink.lines} for 2")
    line: dict[str, Any] = orjson.loads(variant.sink.last.splitlines()[-1])
    _check(variant, line.keys() >= LOG_FIELDS, f"no {sorted(LOG_FIELDS - line.keys())} missing in the log line")
    _check(variant, (line["route"], line["status"]) == (ROUTE, 200), "the log line has route and status")
    _check(variant, line["request_id"] == made_id, "the log line has the answered id")
    if variant.mode != "off":
        ids = (len(line["trace_id"]), len(line["span_id"]))
        _check(variant, ids == (32, 16), "the log line has trace and span id")
    if variant.mode == "on":
        _check_span(variant, line["trace_id"])
    await _check_share(variant)


def _check(variant: Variant, fine: bool, expected: str) -> None:
    if not fine:
        raise Misconfigured(f"{variant.name} ({variant.mode}): expected: {expected}.")


async def _answered_id(app: ASGIApp, *headers: tuple[bytes, bytes]) -> str | None:
    cycle = KeepingCycle(*headers)
    await app(cycle.scope, cycle.receive, cycle.send)
    ids = [value.decode() for name, value in cycle.sent[0]["headers"] if name.lower() == b"x-request-id"]
    return ids[0] if len(ids) == 1 else None


def _check_span(variant: Variant, trace_id: str) -> None:
    span = variant.exporter.last
    _check(variant, variant.exporter.spans == 2, f"one span a request, not {variant.exporter.spans} for 2")
    assert span is not None
    attributes = span.attributes or {}
    status = attributes.get("http.response.status_code", attributes.get("http.status_code"))
    _check(variant, (span.kind, span.parent, status) == (SpanKind.SERVER, None, 200), "a root server span and status")
    same = span.context is not None and format_trace_id(span.context.trace_id) == trace_id
    _check(variant, same, "the log line has the span's trace id")


async def _check_share(variant: Variant) -> None:
    """Check how many of 400 requests end as spans: 40 give or take five deviations at 0.1."""
    before = variant.exporter.spans
    await burst(variant, 400)
    spans = variant.exporter.spans - before
    expected = {"on": range(400, 401), "0.1": range(10, 71), "off": range(1)}[variant.mode]
    _check(variant, spans in expected, f"{expected[0]} to {expected[-1]} spans of 400 requests, not {spans}")
