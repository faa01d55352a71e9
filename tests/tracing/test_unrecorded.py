"""Unrecorded requests do not pay for the instrumentation of client libraries."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import Any

import anyio
import asyncpg
import httpx
import pytest
import redis
import redis.asyncio
import requests
from opentelemetry import context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import divan_obs_asgi as obs
from divan_obs_asgi.testing import converse, http_scope
from divan_obs_asgi.tracing.clients import ClientInstrumentation
from divan_obs_asgi.tracing.spans.recording import UnsampledSpan
from divan_obs_asgi.tracing.spans.unrecorded import CLASSES, is_unrecorded, methods_of
from tests.patience import PATIENCE_S
from tests.servers.asgi import serve
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer
from tests.stacks import Observed
from tests.tracing.exported import Exported
from tests.tracing.test_clients import instrumented

LIBRARIES = "httpx,asyncpg,redis"


@pytest.fixture
def exported() -> Exported:
    return Exported()


@pytest.fixture
def formatted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the spans that the instrumentation of redis starts."""
    instrumentation: Any = import_module("opentelemetry.instrumentation.redis")

    names: list[str] = []
    build = instrumentation._build_span_name

    def noted(*args: Any) -> str:
        names.append(build(*args))
        return names[-1]

    monkeypatch.setattr(instrumentation, "_build_span_name", noted)
    return names


@contextmanager
def tracing(exported: Exported, ratio: str) -> Iterator[Observed]:
    flags = {"OBS_TRACING_ENABLED": "true", "OBS_TRACING_CLIENTS": LIBRARIES, "OTEL_TRACES_SAMPLER_ARG": ratio}
    # The bypass is for OpenTelemetry's instrumentations; our own spans look first whether anything is recorded.
    flags["OBS_TRACING_CLIENT_SPANS"] = "contrib"
    observed = Observed(flags, span_exporter=exported)
    with instrumented(observed, LIBRARIES):
        yield observed


def application(redis_url: str, postgres_url: str, neighbour_url: str) -> Starlette:
    """Return an application that uses each library."""

    async def use(request: Request) -> Response:
        connection = await asyncpg.connect(postgres_url)
        selected = await connection.fetchval("SELECT 6 * $1", 7)
        await connection.close()
        store = redis.asyncio.from_url(redis_url)
        async with store.pipeline() as pipeline:
            pipeline.set("unrecorded", 1)
            pipeline.incr("unrecorded")
            await pipeline.execute()
        counted = int(await store.get("unrecorded") or 0)
        await store.aclose()
        async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
            sent = (await client.get(neighbour_url)).text
        return JSONResponse([selected, counted, sent])

    return Starlette(routes=[Route("/use", use)])


@pytest.mark.parametrize("ratio", ["0", "1"])
def test_every_http_call_sends_the_trace_and_the_id(ratio: str, exported: Exported) -> None:
    """httpx and requests send traceparent, tracestate, baggage and X-Request-Id; only a recorded call has a span."""
    names = "traceparent", "tracestate", "baggage", "x-request-id"
    heard: list[dict[str, str]] = []

    async def echo(request: Request) -> Response:
        return JSONResponse({name: request.headers.get(name) for name in names})

    async def call(request: Request) -> Response:
        async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
            heard.append((await client.get(serving.url)).json())
        blocking: tuple[Any, ...] = httpx.get, requests.get
        for get in blocking:
            heard.append((await anyio.to_thread.run_sync(partial(get, serving.url, timeout=PATIENCE_S))).json())
        return JSONResponse({})

    trace_id, before = "4bf92f3577b34da6a3ce929d0e0e4736", (requests.Session.send, httpx.HTTPTransport.handle_request)
    flags = {"OBS_TRACING_ENABLED": "true", "OBS_TRACING_CLIENTS": "httpx,requests"}
    flags |= {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": ratio}
    observed = Observed(flags, span_exporter=exported)
    headers = [
        (b"traceparent", f"00-{trace_id}-00f067aa0ba902b7-01".encode()),
        (b"tracestate", b"vendor=1"),
        (b"baggage", b"shop=7"),
        (b"x-request-id", b"an-id-of-the-caller"),
    ]
    echoing = Starlette(routes=[Route("/", echo)])
    with serve(echoing, lifespan="off") as serving, instrumented(observed, "httpx,requests"):
        app = obs.build_stack(Starlette(routes=[Route("/", call)]), observed.obs)
        answer = anyio.run(converse, app, http_scope("/", headers=headers))
    observed.obs.flush()
    assert answer.status == 200, answer.error
    for each in heard:
        assert each["traceparent"].startswith(f"00-{trace_id}-")
        assert each["traceparent"].endswith("-01" if ratio == "1" else "-00")
        assert (each["tracestate"], each["baggage"]) == ("vendor=1", "shop=7")
        assert [each["x-request-id"].encode()] == answer.header(b"x-request-id")
    assert [span.name for span in exported.spans] == (["GET", "GET", "GET", "GET /"] if ratio == "1" else [])
    assert (requests.Session.send, httpx.HTTPTransport.handle_request) == before


async def neighbour(scope: Any, receive: Any, send: Any) -> None:
    """Respond with the traceparent of the request."""
    headers = dict(scope["headers"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": headers.get(b"traceparent", b"")})


@pytest.mark.parametrize(("ratio", "is_recorded"), [("0", False), ("1", True)])
def test_only_recorded_calls_are_instrumented(
    ratio: str,
    is_recorded: bool,
    exported: Exported,
    formatted: list[str],
    redis_server: RedisServer,
    postgres_server: PostgresServer,
) -> None:
    """The call works in both cases, and HTTP always sends a traceparent."""
    with serve(neighbour, lifespan="off") as serving, tracing(exported, ratio) as observed:
        app = obs.build_stack(application(redis_server.url, postgres_server.url, serving.url), observed.obs)
        exchange = anyio.run(converse, app, http_scope(path="/use"))
        observed.obs.flush()
    selected, counted, sent = httpx.Response(200, content=exchange.body).json()
    assert (selected, counted) == (42, 2)
    assert bool(int(sent.rpartition("-")[2], 16) & 1) == is_recorded
    names = {span.name for span in exported.spans}
    assert (formatted != []) == is_recorded
    assert names == ({"GET /use", "GET", "SET INCRBY", "SELECT"} if is_recorded else set())


def test_a_call_without_a_span_begins_a_trace(exported: Exported, redis_server: RedisServer) -> None:
    """It is instrumented, because the sampler has not decided yet."""
    with tracing(exported, "1") as observed:
        redis.from_url(redis_server.url).ping()
        observed.obs.flush()
    assert [span.name for span in exported.spans] == ["PING"]


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (NonRecordingSpan(SpanContext(1, 2, is_remote=False)), True),
        (NonRecordingSpan(SpanContext(1, 2, is_remote=True)), False),
        (NonRecordingSpan(SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))), False),
        (TracerProvider(sampler=ALWAYS_OFF).get_tracer("test").start_span("dropped"), True),
        (TracerProvider().get_tracer("test").start_span("recorded"), False),
        (trace.INVALID_SPAN, False),
        (UnsampledSpan(1, 2, None, True), True),
    ],
    ids=["local", "remote", "sampled elsewhere", "dropped", "recorded", "none", "ours"],
)
def test_only_a_local_decision_is_final(span: trace.Span, expected: bool) -> None:
    """Below a remote span the sampler may still record; children of a sampled span are recorded."""
    token = context.attach(trace.set_span_in_context(span))
    try:
        assert is_unrecorded() is expected
    finally:
        context.detach(token)


@pytest.mark.parametrize("ratio", ["0", "1"])
def test_work_in_an_unrecorded_request_has_no_span(ratio: str, exported: Exported) -> None:
    """The span of the request stays current; it ignores attributes."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        outer = trace.get_current_span()
        with observed.obs.work.span("work", a=1) as span:
            span.set_attribute("b", 2)
            assert span.is_recording() == (ratio == "1")
            assert (trace.get_current_span() is outer) == (ratio == "0")
        await neighbour(scope, receive, send)

    with tracing(exported, ratio) as observed:
        anyio.run(converse, obs.build_stack(app, observed.obs), http_scope(path="/"))
        observed.obs.flush()
    assert ("work" in {span.name for span in exported.spans}) == (ratio == "1")


def test_undoing_leaves_the_methods_as_they_were(exported: Exported) -> None:
    """This holds for all patched classes."""
    before = [methods_of(library) for library in CLASSES]
    assert all(before)
    with tracing(exported, "1"):
        patched = methods_of("redis")[redis.Redis, "execute_command"]
        assert inspect.isfunction(patched)
        assert patched is not before[[*CLASSES].index("redis")][redis.Redis, "execute_command"]
    assert [methods_of(library) for library in CLASSES] == before


def test_a_later_wrapper_is_kept() -> None:
    """Undoing does not remove the wrapper of other code."""
    later = lambda *args: "later"  # noqa: E731
    original = redis.Redis.execute_command
    clients = ClientInstrumentation(["redis"], TracerProvider())
    assert clients.instrument() == ("redis",)
    try:
        redis.Redis.execute_command = later  # type: ignore[method-assign]
        clients.undo()
        assert redis.Redis.execute_command is later
    finally:
        redis.Redis.execute_command = original  # type: ignore[method-assign]
