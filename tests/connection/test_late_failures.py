"""What an application raises after the last message of its response."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import anyio
import pytest
from fastapi import Depends, FastAPI
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from divan_obs_asgi import build_stack
from divan_obs_asgi.testing import converse, http_scope
from divan_obs_asgi.types import ASGIApp, Message, Receive, Scope, Send
from tests.stacks import Observed, run_on

TRACED = {"OBS_TRACING_ENABLED": "true", "LOG_SLOW_MS": "0"}


class Broken(Exception):
    """What the applications here raise."""


class Passing(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)


class Rewrapping(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        return StreamingResponse(cast(Any, response).body_iterator, response.status_code)


async def breaks(chunks: int) -> AsyncIterator[bytes]:
    for _ in range(chunks):
        yield b"some"
    raise Broken


async def broken(request: Request) -> Response:
    return StreamingResponse(breaks(3))


async def broken_at_once(request: Request) -> Response:
    return StreamingResponse(breaks(0))


async def whole(request: Request) -> Response:
    return StreamingResponse(iter([b"a", b"b"]))


async def empty(request: Request) -> Response:
    return RedirectResponse("/elsewhere")


async def fails() -> None:
    raise Broken


async def background(request: Request) -> Response:
    return PlainTextResponse("done", background=BackgroundTask(fails))


def behind(*middlewares: type[BaseHTTPMiddleware]) -> Starlette:
    handlers = [broken, broken_at_once, whole, empty, background]
    app = Starlette(routes=[Route(f"/{handler.__name__}", handler) for handler in handlers])
    for middleware in middlewares:
        app.add_middleware(middleware)
    return app


def mounted() -> Starlette:
    return Starlette(routes=[Mount("/", behind(Passing))])


def ended_by_hand() -> ASGIApp:
    """A middleware that ends the response in the block which handles the exception, with a last word."""
    inner = behind()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await inner(scope, receive, send)
        except Broken:
            await send({"type": "http.response.body", "body": b"sorry"})
            raise

    return app


STACKS: dict[str, Callable[[], Any]] = {
    "none": behind,
    "one": lambda: behind(Passing),
    "three": lambda: behind(Passing, Passing, Passing),
    "rewrapping": lambda: behind(Passing, Rewrapping),
    "mounted": mounted,
    "by hand": ended_by_hand,
}


def ask(observed: Observed, app: Any, path: str, backend: str = "asyncio") -> None:
    run_on(backend, converse, build_stack(app, observed.obs), http_scope(path))


def access(observed: Observed) -> dict[str, Any]:
    (line,) = [line for line in observed.lines() if line["logger"] == "divan_obs_asgi.access"]
    return line


def exceptions(observed: Observed, route: str) -> float:
    return observed.value("divan_http_exceptions_total", route=route, type="Broken")


@pytest.fixture
def traced() -> tuple[Observed, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    return Observed(TRACED, span_exporter=exporter), exporter


@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
def test_a_stream_that_breaks_is_an_error_behind_any_middleware(
    traced: tuple[Observed, InMemorySpanExporter], stack: Callable[[], Any], backend: str
) -> None:
    """Starlette's BaseHTTPMiddleware ends the body in order, and raises afterwards."""
    observed, exporter = traced
    ask(observed, stack(), "/broken", backend)
    line = access(observed)
    assert (line["outcome"], line["level"], line["status"]) == ("error_after_start", "ERROR", 200)
    assert line["error"]["type"].endswith("Broken")
    assert exceptions(observed, "/broken") == 1
    assert observed.value("divan_http_outcomes_total", route="/broken", outcome="error_after_start") == 1
    assert observed.value("divan_http_outcomes_total", route="/broken", outcome="ok") == 0
    observed.obs.flush()
    (span,) = exporter.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR


@pytest.mark.parametrize("stack", [STACKS["one"], STACKS["three"]], ids=["one", "three"])
def test_a_stream_that_breaks_before_its_first_chunk_is_an_error(stack: Callable[[], Any]) -> None:
    """The client gets 200 and an empty body."""
    observed = Observed()
    ask(observed, stack(), "/broken_at_once")
    assert access(observed)["outcome"] == "error_after_start"
    assert exceptions(observed, "/broken_at_once") == 1


@pytest.mark.parametrize("path", ["/whole", "/empty"])
@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
def test_a_response_that_is_whole_is_ok(stack: Callable[[], Any], path: str) -> None:
    """Behind a middleware, too, and an empty one."""
    observed = Observed({"LOG_SAMPLING_RATE_INFO": "1"})
    ask(observed, stack(), path)
    assert access(observed)["outcome"] == "ok"


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
def test_a_failed_background_task_is_counted_and_has_a_span(
    traced: tuple[Observed, InMemorySpanExporter], stack: Callable[[], Any]
) -> None:
    """The client has had its whole response: that is ok. The failure is counted, logged once, and a span of its own."""
    observed, exporter = traced
    ask(observed, stack(), "/background")
    assert access(observed)["outcome"] == "ok"
    assert exceptions(observed, "/background") == 1
    observed.obs.flush()
    request, late = sorted(exporter.get_finished_spans(), key=lambda span: span.start_time or 0)
    assert request.status.status_code is StatusCode.UNSET
    assert (late.name, late.status.status_code) == ("GET /background after the response", StatusCode.ERROR)
    assert [link.context for link in late.links] == [request.get_span_context()]
    assert late.attributes is not None
    assert late.attributes["error.type"] == "Broken"


def test_a_dependency_that_fails_afterwards_is_counted() -> None:
    """FastAPI ends `yield` dependencies after the response."""

    async def session() -> AsyncIterator[None]:
        yield
        raise Broken

    for middlewares in ([], [Middleware(Passing)]):
        app = FastAPI(middleware=middlewares)

        @app.get("/items")
        async def items(_: None = Depends(session)) -> str:
            return "all"

        observed = Observed()
        ask(observed, app, "/items")
        assert exceptions(observed, "/items") == 1


def test_a_background_task_does_not_keep_the_line_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may run for minutes: what looks like the end of the response is believed after a moment."""
    monkeypatch.setattr("divan_obs_asgi.connection.request._DOUBT_S", 0.02)
    observed = Observed({"LOG_SAMPLING_RATE_INFO": "1"})
    counted = "divan_http_outcomes_total"

    async def until_counted() -> None:
        while not observed.value(counted, route="/", outcome="ok"):  # noqa: ASYNC110
            await anyio.sleep(0.005)

    async def endpoint(request: Request) -> Response:
        return PlainTextResponse("done", background=BackgroundTask(until_counted))

    app = Starlette(routes=[Route("/", endpoint)])
    app.add_middleware(Passing)
    for backend in ("asyncio", "trio"):
        observed = Observed({"LOG_SAMPLING_RATE_INFO": "1"})
        ask(observed, app, "/", backend)
        assert access(observed)["outcome"] == "ok"
        assert observed.value(counted, route="/", outcome="ok") == 1


def test_a_cancellation_after_the_end_is_no_failure() -> None:
    """The response had ended in order."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send(cast(Message, {"type": "http.response.body"}))
        await anyio.sleep_forever()

    observed = Observed({"LOG_SAMPLING_RATE_INFO": "1"})

    async def cancelled() -> None:
        with anyio.move_on_after(0.02), contextlib.suppress(TimeoutError):
            await converse(build_stack(app, observed.obs), http_scope())

    anyio.run(cancelled)
    assert access(observed)["outcome"] == "ok"
