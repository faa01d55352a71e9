"""A call within the process is part of the caller's trace."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import anyio
import httpx
import pytest
from opentelemetry import context as otel_context
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanContext, SpanKind, get_current_span

import divan_obs_asgi as obs
from divan_obs_asgi.testing import converse, http_scope
from divan_obs_asgi.types import ASGIApp, Receive, Scope, Send
from tests.stacks import Observed
from tests.tracing.exported import Exported

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CONTRIB = "divan_obs_asgi.middlewares.contrib_tracing.ContribTracingMiddleware"
MODES = {
    "suppress": {"OBS_TRACING_NATIVE": "suppress"},
    "nest": {"OBS_TRACING_NATIVE": "nest"},
    "defer": {"OBS_TRACING_NATIVE": "defer"},
    "contrib": {"OBS_MIDDLEWARE": f"divan_obs_asgi.middlewares.ContextMiddleware,{CONTRIB}"},
}
each_mode = pytest.mark.parametrize("mode", MODES)


class Service:
    """An application whose path /outer runs the code of a test `before` or `after` its response."""

    def __init__(self, mode: str, *, own_provider: bool = False) -> None:
        self.exported = Exported()
        self.provider = TracerProvider(shutdown_on_exit=False) if own_provider else None
        if self.provider is not None:
            self.provider.add_span_processor(SimpleSpanProcessor(self.exported))
        self.observed = Observed(
            {"OBS_TRACING_ENABLED": "true", **MODES[mode]},
            span_exporter=None if own_provider else self.exported,
            tracer_provider=self.provider,
        )
        assert self.observed.obs.spans is not None
        served: ASGIApp = self.serve
        if mode in ("nest", "defer"):
            served = OpenTelemetryMiddleware(
                served, tracer_provider=self.observed.obs.spans.provider, exclude_spans=["receive", "send"]
            )
        self.app = obs.build_stack(served, self.observed.obs)
        self.before: Callable[[], Awaitable[object]] = anyio.lowlevel.checkpoint
        self.after: Callable[[], Awaitable[object]] = anyio.lowlevel.checkpoint
        self.seen: list[object] = []

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/outer":
            await self.before()
        self.seen.append(otel_context.get_value("mine"))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})
        if scope["path"] == "/outer":
            await self.after()

    async def call(self, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        span = get_current_span()
        await converse(self.app, http_scope("/inner", headers=headers))
        assert get_current_span() is span

    def spans(self) -> list[ReadableSpan]:
        """Serve /outer, and return the server spans in the order of their start."""
        assert anyio.run(converse, self.app, http_scope("/outer")).error is None
        self.observed.obs.flush()
        found = [span for span in self.exported.spans if span.kind is SpanKind.SERVER]
        return sorted(found, key=lambda span: span.start_time or 0)

    def is_below(self, span: ReadableSpan, ancestor: ReadableSpan) -> bool:
        """Return whether `span` is a descendant of `ancestor`; the span of a framework may be in between."""
        by_id = {ids(other).span_id: other for other in self.exported.spans}
        above: ReadableSpan | None = span
        while above is not None and above.parent is not None:
            if ids(span).trace_id != ids(above).trace_id:
                return False
            above = by_id.get(above.parent.span_id)
            if above is ancestor:
                return True
        return False


def ids(span: ReadableSpan) -> SpanContext:
    found = span.get_span_context()
    assert found is not None
    return found


@each_mode
@pytest.mark.parametrize("own_provider", [False, True], ids=["ours", "the application's"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_call_without_headers_is_a_child_of_its_caller(when: str, own_provider: bool, mode: str) -> None:
    """This includes calls of a background task, and works without traced client libraries."""
    service = Service(mode, own_provider=own_provider)
    setattr(service, when, service.call)
    spans = service.spans()
    assert len(spans) == 2
    assert spans[0].parent is None
    assert service.is_below(spans[1], spans[0])


@each_mode
def test_a_call_inside_an_application_span_is_its_child(mode: str) -> None:
    """The span of the application is between the two server spans."""
    service = Service(mode)

    async def work() -> None:
        with service.observed.obs.work.span("work"):
            await service.call()

    service.before = work
    spans = service.spans()
    work_span = next(span for span in service.exported.spans if span.name == "work")
    assert service.is_below(work_span, spans[0])
    assert service.is_below(spans[1], work_span)


@each_mode
def test_the_headers_of_the_call_take_precedence(mode: str) -> None:
    """A bridge can send the `traceparent` of another caller."""
    service = Service(mode)
    service.before = lambda: service.call([(b"traceparent", f"00-{TRACE}-{SPAN}-01".encode())])
    callee = service.spans()[-1]
    assert f"{ids(callee).trace_id:032x}" == TRACE


@each_mode
@pytest.mark.parametrize("own_provider", [False, True], ids=["ours", "the application's"])
def test_a_malformed_header_of_the_call_starts_a_new_trace(own_provider: bool, mode: str) -> None:
    """The same as for a request from outside."""
    service = Service(mode, own_provider=own_provider)
    service.before = lambda: service.call([(b"traceparent", b"00-nonsense")])
    spans = service.spans()
    assert ids(spans[0]).trace_id != ids(spans[-1]).trace_id


@each_mode
def test_the_span_of_traced_httpx_is_in_between(mode: str) -> None:
    """The client span is the parent, because httpx sends its `traceparent`."""
    service = Service(mode)
    assert service.observed.obs.spans is not None
    from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor

    async def call() -> None:
        transport = httpx.ASGITransport(service.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://inside") as client:
            HTTPXClientInstrumentor.instrument_client(client, tracer_provider=service.observed.obs.spans.provider)  # type: ignore[union-attr]
            await client.get("/inner")

    service.before = call
    spans = service.spans()
    client_span = next(span for span in service.exported.spans if span.kind is SpanKind.CLIENT)
    assert len(spans) == 2
    assert service.is_below(client_span, spans[0])
    assert service.is_below(spans[1], client_span)


@pytest.mark.parametrize("mode", ["suppress", "nest"])
def test_the_callee_sees_the_other_values_of_the_context(mode: str) -> None:
    """It sees the caller's baggage and values of the application. Upstream's middleware hides them."""
    service = Service(mode)

    async def call() -> None:
        token = otel_context.attach(otel_context.set_value("mine", "the caller's"))
        await service.call()
        await service.call([(b"traceparent", f"00-{TRACE}-{SPAN}-01".encode())])
        otel_context.detach(token)

    service.before = call
    service.spans()
    assert service.seen == ["the caller's", "the caller's", None]


@each_mode
def test_requests_are_not_children_of_the_span_that_started_the_server(mode: str) -> None:
    """Requests from outside have no caller in this process."""
    service = Service(mode)

    async def serve() -> None:
        with service.observed.obs.work.span("start"):
            await converse(service.app, http_scope("/outer"))

    anyio.run(serve)
    service.observed.obs.flush()
    found = [span for span in service.exported.spans if span.kind is SpanKind.SERVER]
    assert found[-1].parent is None
