"""
Frameworks that trace themselves, in each mode of OBS_TRACING_NATIVE: one request is one trace.

Each is tested as it comes installed here; tox's environment `natives-oldest` brings their oldest supported versions.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import anyio
import fastapi
import pytest
import starlette.background
from fastapi import FastAPI
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware as ContribMiddleware
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.starlette import StarletteInstrumentor
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import TracerProvider
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

import divan_obs_asgi as obs
from divan_obs_asgi.connection.routes import UNMATCHED
from divan_obs_asgi.settings.tracing import NATIVE_MODES
from divan_obs_asgi.testing import Conversation, converse, http_scope, websocket_scope
from divan_obs_asgi.types import ASGIApp, Message
from tests.stacks import Observed
from tests.tracing.exported import Exported

try:
    from starlette.middleware.opentelemetry import OpenTelemetryMiddleware as NativeMiddleware
except ImportError:  # Starlette < 1.10
    NativeMiddleware = None  # type: ignore[assignment,misc]

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
OURS = "divan_obs_asgi"
# Before 1.42 the SDK makes random trace ids too, but does not say so.
SDK_SETS_RANDOM = hasattr(IdGenerator, "is_trace_id_random")


async def greet(request: Request) -> Response:
    logging.getLogger("application").warning("greeting")
    return PlainTextResponse("hello")


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close()


def _starlette() -> Starlette:
    return Starlette(routes=[Route("/hello/{name}", greet), WebSocketRoute("/echo", echo)])


def _fastapi(provider: TracerProvider, **telemetry: object) -> FastAPI:
    options: dict[str, Any] = {}
    if "telemetry" in inspect.signature(FastAPI).parameters:
        options["telemetry"] = {"tracer_provider": provider, "operation_spans": False, **telemetry}
    app = FastAPI(**options)
    app.add_api_websocket_route("/echo", echo)
    app.get("/hello/{name}")(lambda name: logging.getLogger("application").warning("greeting"))
    return app


def starlette_middleware(provider: TracerProvider) -> Starlette:
    app = _starlette()
    app.add_middleware(NativeMiddleware, tracer_provider=provider)
    return app


def contrib_middleware(provider: TracerProvider) -> Starlette:
    app = _starlette()
    app.add_middleware(ContribMiddleware, tracer_provider=provider)
    return app


def starlette_instrumentor(provider: TracerProvider) -> Starlette:
    app = _starlette()
    StarletteInstrumentor.instrument_app(app, tracer_provider=provider)
    return app


def fastapi_instrumentor(provider: TracerProvider) -> Starlette:
    app = _fastapi(provider)
    FastAPIInstrumentor.instrument_app(app, tracer_provider=provider)
    return app


NATIVES: dict[str, Callable[[TracerProvider], Starlette]] = {
    "contrib middleware": contrib_middleware,
    "starlette instrumentor": starlette_instrumentor,
    "fastapi instrumentor": fastapi_instrumentor,
}
if NativeMiddleware is not None:
    NATIVES["starlette"] = starlette_middleware
if "telemetry" in inspect.signature(FastAPI).parameters:
    NATIVES["fastapi"] = _fastapi
CASES = list(product(NATIVES, ("init", "wrap")))


@pytest.fixture(autouse=True)
def _background_tasks() -> Iterator[None]:
    """FastAPIInstrumentor patches Starlette's class and does not restore it."""
    kind: Any = starlette.background.BackgroundTask
    call = kind.__call__
    yield
    kind.__call__ = call
    if hasattr(kind, "_otel_original_call"):
        del kind._otel_original_call


class Service:
    """A framework that traces itself inside our stack, with the same provider."""

    def __init__(self, native: str, how: str, mode: str, **flags: str) -> None:
        self.exported = Exported()
        self.observed = Observed(
            {"OBS_TRACING_ENABLED": "true", "OBS_TRACING_NATIVE": mode, **flags}, span_exporter=self.exported
        )
        assert self.observed.obs.spans is not None
        app = NATIVES[native](self.observed.obs.spans.provider)
        self.app: ASGIApp = app
        if how == "init":
            obs.init(app, self.observed.obs)
        else:
            self.app = obs.wrap(app, self.observed.obs)

    def get(self, *headers: tuple[bytes, bytes]) -> Conversation:
        answer = anyio.run(lambda: converse(self.app, http_scope("/hello/ada", headers=headers)))
        assert answer.status == 200
        self.observed.obs.flush()
        return answer

    def server_spans(self) -> dict[str, ReadableSpan]:
        """Return the spans of the request by their instrumentation, without spans of single messages."""
        found = [span for span in self.exported.spans if not span.name.endswith((" http send", " http receive"))]
        by_maker = {span.instrumentation_scope.name: span for span in found if span.instrumentation_scope}
        assert len(by_maker) == len(found), [span.name for span in found]
        return by_maker


@pytest.fixture(autouse=True)
def _root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("uvicorn.access").disabled = False


def ids(span: ReadableSpan) -> tuple[str, str]:
    assert span.context is not None
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"


@pytest.mark.parametrize("caller", [(), ((b"traceparent", f"00-{TRACE}-{SPAN}-01".encode()),)], ids=["root", "called"])
@pytest.mark.parametrize("mode", NATIVE_MODES)
@pytest.mark.parametrize(("native", "how"), CASES)
def test_one_request_is_one_trace(native: str, how: str, mode: str, caller: Any) -> None:
    """Spans, log lines and response have the same trace id: that of the caller, if there is one."""
    service = Service(native, how, mode)
    service.get()  # The first request of a framework builds its chain.
    service.exported.spans.clear()
    answer = service.get(*caller)

    spans = service.server_spans()
    assert len(spans) == (2 if mode == "nest" else 1), list(spans)
    if mode != "nest":
        assert (OURS in spans) == (mode == "suppress")
    of_the_record = spans[OURS] if mode != "defer" else next(iter(spans.values()))
    (root,) = [
        span for span in spans.values() if span.parent is None or (span.parent.is_remote and ids_of(span) == SPAN)
    ]
    trace_id, span_id = ids(of_the_record)
    assert {ids(span)[0] for span in service.exported.spans} == {trace_id}
    if caller:
        assert trace_id == TRACE
        assert ids_of(root) == SPAN
    else:
        assert root.parent is None
    written = service.observed.lines()[-2:]
    assert [(line["trace_id"], line["span_id"]) for line in written] == [(trace_id, span_id)] * 2
    random = not caller and (mode != "defer" or SDK_SETS_RANDOM)
    assert answer.header(b"traceparent") == [f"00-{trace_id}-{span_id}-{'03' if random else '01'}".encode()]


@pytest.mark.parametrize("mode", NATIVE_MODES)
# Upstream's plain middleware knows no route and names its spans after the path (docs/tracing.md).
@pytest.mark.parametrize(("native", "how"), [case for case in CASES if case[0] != "contrib middleware"])
@pytest.mark.parametrize(("path", "route"), [("/hello/planted-name", "/hello/{name}"), ("/planted", UNMATCHED)])
def test_no_span_has_the_requested_path_or_query(native: str, how: str, mode: str, path: str, route: str) -> None:
    """Frameworks record paths, queries and addresses; only the template and the parameter names are exported."""
    service = Service(native, how, mode)
    scope = http_scope(path)
    scope["query_string"] = b"token=planted-token&q=planted-query&planted-bare"
    anyio.run(converse, service.app, scope)
    service.observed.obs.flush()
    exported = "".join(span.to_json() for span in service.exported.spans)
    assert route in exported
    assert "planted" not in exported
    assert scope["client"][0] not in exported


def ids_of(span: ReadableSpan) -> str | None:
    return f"{span.parent.span_id:016x}" if span.parent is not None else None


@pytest.mark.parametrize("mode", NATIVE_MODES)
@pytest.mark.parametrize(("native", "how"), CASES)
def test_an_unsampled_request_is_one_trace(native: str, how: str, mode: str) -> None:
    """Nothing is exported, and the log line and the response have the ids of the same unsampled trace."""
    service = Service(native, how, mode)
    answer = service.get((b"traceparent", f"00-{TRACE}-{SPAN}-00".encode()))
    assert service.exported.spans == []
    inside, access = service.observed.lines()[-2:]
    assert inside["trace_id"] == access["trace_id"] == TRACE
    assert inside["span_id"] == access["span_id"] not in ("", SPAN)
    assert answer.header(b"traceparent") == [f"00-{TRACE}-{access['span_id']}-00".encode()]


@pytest.mark.parametrize("mode", NATIVE_MODES)
@pytest.mark.parametrize(("native", "how"), CASES)
def test_a_websocket_is_one_trace(native: str, how: str, mode: str) -> None:
    """If the framework does not trace WebSockets, our span is used in every mode."""
    service = Service(native, how, mode)
    incoming: list[Message] = [
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": "hi"},
        {"type": "websocket.disconnect", "code": 1000},
    ]
    anyio.run(converse, service.app, websocket_scope("/echo"), incoming)
    service.observed.obs.flush()
    trace_ids = {ids(span)[0] for span in service.exported.spans}
    line = service.observed.lines()[-1]
    assert {line["trace_id"]} == trace_ids
    assert line["span_id"] in {ids(span)[1] for span in service.exported.spans}


@pytest.mark.parametrize(("native", "how"), CASES)
def test_the_first_request_is_one_trace(native: str, how: str) -> None:
    """This holds although the framework builds its middleware stack during the first request."""
    for mode in NATIVE_MODES:
        service = Service(native, how, mode)
        service.get()
        assert len({ids(span)[0] for span in service.exported.spans}) == 1
        assert len(service.server_spans()) == (2 if mode == "nest" else 1)


def test_without_a_framework_span_ours_is_used() -> None:
    """With `defer` every request still has a span."""
    exported = Exported()
    observed = Observed({"OBS_TRACING_ENABLED": "true", "OBS_TRACING_NATIVE": "defer"}, span_exporter=exported)
    anyio.run(converse, obs.build_stack(_starlette(), observed.obs), http_scope("/hello/ada"))
    observed.obs.flush()
    assert [span.name for span in exported.spans] == ["GET /hello/{name}"]


@pytest.mark.parametrize("mode", NATIVE_MODES)
def test_the_span_of_an_outer_middleware_is_the_parent(mode: str) -> None:
    """A span that has already started cannot be suppressed: ours becomes its child, or is not made."""
    exported = Exported()
    observed = Observed({"OBS_TRACING_ENABLED": "true", "OBS_TRACING_NATIVE": mode}, span_exporter=exported)
    assert observed.obs.spans is not None
    stack = obs.build_stack(_starlette(), observed.obs)
    outer = ContribMiddleware(stack, tracer_provider=observed.obs.spans.provider, exclude_spans=["send", "receive"])
    anyio.run(converse, outer, http_scope("/hello/ada"))
    observed.obs.flush()
    by_maker = {span.instrumentation_scope.name: span for span in exported.spans if span.instrumentation_scope}
    assert len({ids(span)[0] for span in exported.spans}) == 1
    assert (OURS in by_maker) == (mode != "defer")
    assert len(exported.spans) == (1 if mode == "defer" else 2)
    (line,) = [line for line in observed.lines() if line["logger"] == "divan_obs_asgi.access"]
    assert (line["trace_id"], line["span_id"]) in [ids(span) for span in exported.spans]


def test_a_leaked_span_is_not_the_parent() -> None:
    """The current span alone is not enough: it may belong to the previous request."""
    exported = Exported()
    observed = Observed({"OBS_TRACING_ENABLED": "true", "OBS_CONTEXT_ENABLED": "false"}, span_exporter=exported)
    assert observed.obs.spans is not None
    stack = obs.build_stack(_starlette(), observed.obs)
    tracer = observed.obs.spans.provider.get_tracer("opentelemetry.instrumentation.asgi")

    async def leaked() -> None:
        with tracer.start_as_current_span("the request before") as before:
            before.end()
            await converse(stack, http_scope("/hello/ada"))

    anyio.run(leaked)
    observed.obs.flush()
    (ours,) = [span for span in exported.spans if span.name == "GET /hello/{name}"]
    assert ours.parent is None


def test_the_versions_that_are_tested() -> None:
    """These are the newest versions; the oldest are tested in their own environment."""
    version = tuple(map(int, fastapi.__version__.split(".")[:2]))
    assert ("fastapi" in NATIVES) == (version >= (0, 165))
