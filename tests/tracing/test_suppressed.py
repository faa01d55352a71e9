"""While OpenTelemetry's instrumentation is suppressed, neither we nor others make spans."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import anyio
import httpx
import opentelemetry.instrumentation.asgi
import pytest
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.utils import suppress_http_instrumentation, suppress_instrumentation
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

import divan_obs_asgi as obs
from divan_obs_asgi.testing import converse, http_scope, websocket_scope
from divan_obs_asgi.types import ASGIApp, Receive, Scope, Send
from tests.socketio_ext.sockets import connected, server_of
from tests.stacks import Observed
from tests.tracing.exported import Exported
from tests.tracing.test_frameworks import NATIVES

Suppress = Callable[[], AbstractContextManager[None]]
EVERYTHING: list[Suppress] = [suppress_instrumentation, suppress_http_instrumentation]
each_way = pytest.mark.parametrize("suppress", EVERYTHING, ids=["all", "http"])
# Of a framework's middleware. Ours can switch it off, but not for a single connection of `nest` and `defer`.
CONTRIB_CHECKS = hasattr(opentelemetry.instrumentation.asgi, "is_http_instrumentation_enabled")
CONTRIB = "divan_obs_asgi.middlewares.contrib_tracing.ContribTracingMiddleware"
ACCESS = "divan_obs_asgi.middlewares.AccessLogMiddleware"


class Traced:
    """An `Observability` with tracing, optionally with a provider of the application."""

    def __init__(self, *, own_provider: bool = False, **flags: str) -> None:
        self.exported = Exported()
        provider = TracerProvider(shutdown_on_exit=False) if own_provider else None
        if provider is not None:
            provider.add_span_processor(SimpleSpanProcessor(self.exported))
        self.observed = Observed(
            {"OBS_TRACING_ENABLED": "true", **flags},
            span_exporter=None if own_provider else self.exported,
            tracer_provider=provider,
        )
        assert self.observed.obs.spans is not None
        self.provider = self.observed.obs.spans.provider

    @property
    def spans(self) -> list[str]:
        self.observed.obs.flush()
        return [span.name for span in self.exported.spans]


def suppressed(app: ASGIApp, suppress: Suppress) -> ASGIApp:
    """Return an outermost middleware that suppresses instrumentation."""

    async def outside(scope: Scope, receive: Receive, send: Send) -> None:
        with suppress():
            await app(scope, receive, send)

    return outside


@each_way
@pytest.mark.parametrize("own_provider", [False, True], ids=["ours", "the application's"])
@pytest.mark.parametrize("native", NATIVES)
@pytest.mark.parametrize("mode", ["suppress", "nest", "defer"])
def test_there_is_no_server_span_in_any_mode(mode: str, native: str, own_provider: bool, suppress: Suppress) -> None:
    """Neither ours nor the framework's. The request is served and logged, and the next one is traced."""
    if mode != "suppress" and native not in ("starlette", "fastapi") and not CONTRIB_CHECKS:
        pytest.skip("opentelemetry-instrumentation-asgi checks for it since 0.62b0")
    traced = Traced(own_provider=own_provider, OBS_TRACING_NATIVE=mode)
    app = obs.wrap(NATIVES[native](traced.provider), traced.observed.obs)
    answer = anyio.run(converse, suppressed(app, suppress), http_scope("/hello/ada"))
    assert answer.status == 200
    assert answer.header(b"traceparent") == []
    assert traced.spans == []
    (line,) = [line for line in traced.observed.lines() if line["logger"] == "divan_obs_asgi.access"]
    assert (line["status"], line["trace_id"]) == (200, "")
    assert anyio.run(converse, app, http_scope("/hello/ada")).header(b"traceparent") != []
    assert traced.spans != []


@each_way
def test_upstreams_middleware_makes_no_span(suppress: Suppress) -> None:
    """This holds for ContribTracingMiddleware."""
    traced = Traced(OBS_MIDDLEWARE=f"{CONTRIB},{ACCESS}")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    stack = obs.build_stack(app, traced.observed.obs)
    assert anyio.run(converse, suppressed(stack, suppress), http_scope()).status == 200
    assert traced.spans == []
    assert anyio.run(converse, stack, http_scope()).status == 200
    assert traced.spans != []


@each_way
def test_a_websocket_has_no_span(suppress: Suppress) -> None:
    """A WebSocket counts as HTTP."""
    traced = Traced()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.close", "code": 1000})

    stack = suppressed(obs.build_stack(app, traced.observed.obs), suppress)
    anyio.run(converse, stack, websocket_scope())
    assert traced.spans == []


def test_calls_and_internal_work_have_no_spans() -> None:
    """Client libraries, calls within the process and spans of the application are suppressed."""
    traced = Traced()
    work = traced.observed.obs.work
    instrumentor = HTTPXClientInstrumentor()
    ran: list[str] = []

    @work.traced
    async def traced_function() -> None:
        ran.append("traced")

    async def task() -> None:
        ran.append("background")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/outer":
            with work.span("work") as span:
                span.set_attribute("a", 1)
                await traced_function()
                await work.background(task)()
            async with httpx.AsyncClient(transport=httpx.ASGITransport(stack), base_url="http://inside") as client:
                instrumentor.instrument_client(client, tracer_provider=traced.provider)
                assert (await client.get("/inner")).status_code == 200
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    stack = obs.build_stack(app, traced.observed.obs)
    assert anyio.run(converse, suppressed(stack, suppress_instrumentation), http_scope("/outer")).error is None
    assert ran == ["traced", "background"]
    assert traced.spans == []


def test_a_caller_may_suppress_one_call_within_the_process() -> None:
    """The caller has a server span, the callee has none."""
    traced = Traced()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/outer":
            with suppress_instrumentation():
                await converse(stack, http_scope("/inner"))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    stack = obs.build_stack(app, traced.observed.obs)
    anyio.run(converse, stack, http_scope("/outer"))
    assert len(traced.spans) == 1


@pytest.mark.parametrize("own_provider", [False, True], ids=["ours", "the application's"])
def test_a_socketio_event_has_no_span(own_provider: bool) -> None:
    """The handler runs and is logged; its failure is not recorded in a span."""
    traced = Traced(own_provider=own_provider, OBS_SOCKETIO_EMIT_SPANS="true")
    server = server_of(traced.observed)
    called: list[str] = []

    @server.event  # type: ignore[untyped-decorator,unused-ignore]
    async def message(sid: str, data: object) -> None:
        called.append(sid)
        await server.emit("answer", to=sid)
        raise ValueError("on purpose")

    async def talk() -> None:
        with suppress_instrumentation():
            client = await connected(server)
            with pytest.raises(ValueError, match=r"^on purpose$"):
                await client.send('2["message", "hello"]')
            await client.close()

    anyio.run(talk)
    assert len(called) == 1
    assert traced.spans == []
    assert traced.observed.value("divan_errors_total", component="socketio") == 0
