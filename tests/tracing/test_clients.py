"""One trace covers a request and all its calls, and has no private data."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import asyncpg
import httpx
import pytest
import redis
import redis.asyncio
import requests
import sqlalchemy
import sqlalchemy.ext.asyncio
from opentelemetry import propagate
from opentelemetry.instrumentation import _semconv
from opentelemetry.trace import format_trace_id
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

import divan_obs_asgi as obs
from divan_obs_asgi.testing import converse, http_scope
from divan_obs_asgi.tracing import client_names
from divan_obs_asgi.tracing.clients import ClientInstrumentation
from tests.patience import PATIENCE_S
from tests.servers.asgi import serve
from tests.servers.otlp import OtlpReceiver, attributes
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer
from tests.stacks import Observed
from tests.tracing.exported import Exported

ALL = "httpx,requests,sqlalchemy,asyncpg,redis"
# One of each kind that could be anywhere: in a literal, a parameter, a key, a value, a query, a header, an error.
SECRETS = [
    "planted-literal",
    "planted-parameter",
    "planted-key",
    "planted-value",
    "planted-query",
    "planted-user-info",
    "planted-error",
    "planted-path",
    "planted@example.org",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJwbGFudGVkIn0.c2lnbmF0dXJl",
]
EMAIL, TOKEN = SECRETS[-2:]


@contextmanager
def instrumented(observed: Observed, libraries: str = ALL) -> Iterator[ClientInstrumentation]:
    """Instrument client libraries, and restore them at the end."""
    assert observed.obs.spans is not None
    clients = observed.obs.spans.clients
    assert clients.instrument() == tuple(libraries.split(","))
    try:
        yield clients
    finally:
        clients.undo()


async def neighbour(request: Request) -> Response:
    """Return the headers that a called service receives."""
    return JSONResponse({name: request.headers.get(name) for name in ("x-request-id", "traceparent")})


class ChatServer(obs.socketio_ext.ObservedAsyncServer):
    pass


def application(observed: Observed, neighbour_url: str, redis_url: str, postgres_url: str) -> Starlette:
    """Return an application that uses all clients, with secrets wherever they could be."""
    sockets = ChatServer(async_mode="asgi", obs=observed.obs)
    heard: dict[str, dict[str, str]] = {}

    async def everything(request: Request) -> Response:
        url = neighbour_url.replace("//", "//planted-user-info:planted-user-info@") + "/n?q=planted-query"
        async with httpx.AsyncClient() as client:
            heard["httpx"] = (await client.get(url, headers={"authorization": f"Bearer {TOKEN}"})).json()
        heard["requests"] = (await anyio.to_thread.run_sync(lambda: requests.get(url, timeout=PATIENCE_S))).json()

        engine = sqlalchemy.ext.asyncio.create_async_engine(postgres_url.replace("postgresql:", "postgresql+asyncpg:"))
        async with engine.connect() as connection:
            await connection.execute(
                sqlalchemy.text(f"SELECT 'planted-literal', '{EMAIL}', 421337, CAST(:p AS text) -- {TOKEN}"),
                {"p": "planted-parameter"},
            )
        await engine.dispose()
        plain = await asyncpg.connect(postgres_url)
        await plain.fetch("SELECT 'planted-literal' /* planted-literal */, $1::text", "planted-parameter")
        with pytest.raises(asyncpg.exceptions.DataError), observed.obs.work.span("around the error"):
            await plain.fetch("SELECT 'planted-error'::integer")
        await plain.close()

        store = redis.asyncio.from_url(redis_url)
        await store.set("planted-key", "planted-value")
        async with store.pipeline() as pipeline:
            pipeline.get("planted-key")
            pipeline.incrby("planted-key2", 421337)
            await pipeline.execute()
        await store.aclose()

        with observed.obs.work.span("work", email=EMAIL, note=f"token={TOKEN}"):
            await sockets.emit("message", {"text": "planted-value"}, room="lobby")
        return JSONResponse(heard)

    async def fail(request: Request) -> Response:
        with observed.obs.work.span("failing"):
            raise LookupError(f"{EMAIL}: password=planted-error, {TOKEN}")

    return Starlette(routes=[Route("/use/{name}", everything), Route("/fail", fail)])


def test_one_trace_has_all_calls_and_no_secrets(
    otlp_receiver: OtlpReceiver, redis_server: RedisServer, postgres_server: PostgresServer
) -> None:
    """The collector receives HTTP, SQL, Redis, outgoing HTTP and Socket.IO spans without any planted secret."""
    observed = Observed(
        {
            "OBS_TRACING_ENABLED": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": otlp_receiver.endpoint,
            "OBS_TRACING_CLIENTS": ALL,
            "OBS_SOCKETIO_EMIT_SPANS": "true",
            "OTEL_SEMCONV_STABILITY_OPT_IN": "http/dup",
        }
    )
    with serve(Starlette(routes=[Route("/n", neighbour)]), lifespan="off") as serving, instrumented(observed):
        app = application(observed, serving.url, redis_server.url, postgres_server.url)
        stack = obs.build_stack(app, observed.obs)
        scope = http_scope("/use/planted-path", headers=[(b"authorization", f"Bearer {TOKEN}".encode())])
        answer = anyio.run(converse, stack, {**scope, "query_string": f"token={TOKEN}&q=planted-query".encode()})
        failing = anyio.run(converse, stack, http_scope("/fail"))
    assert answer.status == 200, answer.error
    assert failing.status == 500
    observed.obs.flush()

    used, _ = observed.lines()
    spans = [span for span in otlp_receiver.spans() if span.trace_id.hex() == used["trace_id"]]
    assert len(spans) + 2 == len(otlp_receiver.spans()), "the failed request has a trace of its own"
    described = [attributes(span) for span in spans]
    names = [span.name for span in spans]
    assert names.count("GET") == 2, names
    assert {"GET /use/{name}", "SET", "work", "socketio emit", "SELECT postgres"} <= set(names)
    systems = [one.get("db.system.name") for one in described]
    assert systems.count("postgresql") >= 3
    assert systems.count("redis") == 2
    assert {one.get("db.operation.name") for one in described} >= {"SET", "PIPELINE"}
    assert {one.get("socketio.event") for one in described} >= {"message"}
    statements = [str(one["db.query.text"]) for one in described if "db.query.text" in one]
    assert "SELECT ?, ?, ?, CAST($1 AS text)" in statements, sorted(set(statements))
    assert "SELECT ? , $1::text" in statements
    assert "SET ? ?" in statements
    assert "GET ?\nINCRBY ? ?" in statements

    # Every span hangs below the server span.
    (root,) = [span for span in spans if span.name == "GET /use/{name}"]
    known = {span.span_id for span in spans}
    assert {span.parent_span_id for span in spans if span is not root} <= known

    # The headers of the outgoing requests.
    heard: dict[str, Any] = httpx.Response(200, content=answer.body).json()
    clients = {span.span_id.hex() for span in spans if span.name == "GET"}
    for of_the_call in heard.values():
        assert of_the_call["x-request-id"] == used["request_id"]
        assert of_the_call["traceparent"][3:35] == used["trace_id"]
        assert of_the_call["traceparent"][36:52] in clients

    exported_bytes = b"".join(resource.SerializeToString() for resource in otlp_receiver.resource_spans())
    assert [
        secret for secret in [*SECRETS, "421337", postgres_server.password] if secret.encode() in exported_bytes
    ] == []


@pytest.fixture
def exported() -> Exported:
    return Exported()


@pytest.fixture(scope="module")
def neighbour_url() -> Iterator[str]:
    with serve(Starlette(routes=[Route("/n", neighbour)]), lifespan="off") as serving:
        yield f"{serving.url}/n"


def test_instrumenting_twice_changes_nothing(exported: Exported, neighbour_url: str) -> None:
    """A second `init` or `Observability` in one process does not change the first instrumentation."""
    first = Observed({"OBS_TRACING_ENABLED": "true", "OBS_TRACING_CLIENTS": ALL}, span_exporter=exported)
    second = Observed({"OBS_TRACING_ENABLED": "true", "OBS_TRACING_CLIENTS": ALL}, span_exporter=Exported())
    assert second.obs.spans is not None
    with instrumented(first) as clients:
        assert clients.instrument() == tuple(ALL.split(","))
        assert second.obs.spans.clients.instrument() == ()
        second.obs.spans.clients.undo()
        httpx.get(neighbour_url)
    httpx.get(neighbour_url)
    first.obs.flush()
    assert [span.name for span in exported.spans] == ["GET"]


STABLE = {
    "http.request.method": "GET",
    "http.response.status_code": 200,
    "network.protocol.version": "1.1",
    "server.address": "127.0.0.1",
}
OLD = {"http.method": "GET", "http.status_code": 200}


@pytest.mark.parametrize("client", [httpx, requests], ids=["httpx", "requests"])
@pytest.mark.parametrize("opt_in", ["", "http", "database", "http/dup", "database/dup,http/dup"])
def test_http_calls_have_the_stable_names(client: Any, opt_in: str, exported: Exported, neighbour_url: str) -> None:
    """As the request's own span; `http/dup` adds the old names, also if only the library is configured with it."""
    flags = {"OBS_TRACING_ENABLED": "true", "OBS_TRACING_CLIENTS": ALL, "OTEL_SEMCONV_STABILITY_OPT_IN": opt_in}
    observed = Observed(flags, span_exporter=exported)
    with instrumented(observed):
        client.get(neighbour_url, timeout=PATIENCE_S)
    observed.obs.flush()
    (span,) = exported.spans
    found = dict(span.attributes or {})
    assert {name: found.get(name) for name in STABLE} == STABLE
    assert found["server.port"] == int(neighbour_url.split(":")[2].partition("/")[0])
    old = {name: value for name, value in found.items() if name in OLD or name in ("http.url", "http.scheme")}
    assert {name: old.get(name) for name in OLD} == (OLD if "http/dup" in opt_in else dict.fromkeys(OLD))
    assert ("http.url" in old) == ("http/dup" in opt_in)


def test_instrumentations_of_the_application_keep_their_names(exported: Exported) -> None:
    """What it has chosen by OTEL_SEMCONV_STABILITY_OPT_IN, or not chosen, is for its own instrumentations as before."""
    modes = _semconv._OpenTelemetrySemanticConventionStability
    modes._initialize()
    before = dict(modes._OTEL_SEMCONV_STABILITY_SIGNAL_MAPPING)
    observed = Observed({"OBS_TRACING_ENABLED": "true", "OBS_TRACING_CLIENTS": ALL}, span_exporter=exported)
    with instrumented(observed):
        assert before == modes._OTEL_SEMCONV_STABILITY_SIGNAL_MAPPING


def test_a_library_is_traced_if_the_names_cannot_be_chosen(
    exported: Exported, neighbour_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The choice is a private part of the contrib packages; a release that moves it costs only the names."""
    monkeypatch.setattr(client_names, "_MODULE", "opentelemetry.instrumentation._moved")
    observed = Observed({"OBS_TRACING_ENABLED": "true", "OBS_TRACING_CLIENTS": ALL}, span_exporter=exported)
    with instrumented(observed):
        httpx.get(neighbour_url)
    observed.obs.flush()
    assert [span.name for span in exported.spans] == ["GET"]
    assert "old attribute names" in caplog.text


def test_undoing_leaves_the_libraries_as_they_were(exported: Exported) -> None:
    """Afterwards nothing is traced, and the previous propagator is restored."""
    before = propagate.get_global_textmap(), httpx.HTTPTransport.handle_request, redis.Redis.execute_command
    observed = Observed({"OBS_TRACING_ENABLED": "true", "OBS_TRACING_CLIENTS": ALL}, span_exporter=exported)
    with instrumented(observed):
        assert propagate.get_global_textmap() is not before[0]
    after = propagate.get_global_textmap(), httpx.HTTPTransport.handle_request, redis.Redis.execute_command
    assert after == before


def test_only_selected_libraries_are_instrumented(exported: Exported) -> None:
    """OBS_TRACING_CLIENTS selects the libraries; without tracing none is changed."""
    observed = Observed({"OBS_TRACING_ENABLED": "true", "OBS_TRACING_CLIENTS": "redis"}, span_exporter=exported)
    assert observed.obs.spans is not None
    try:
        assert observed.obs.spans.clients.instrument() == ("redis",)
    finally:
        observed.obs.spans.clients.undo()


def test_outside_a_request_no_request_id_is_sent(exported: Exported, neighbour_url: str) -> None:
    """Inside a request, a header that the application sets is kept. The traceparent is sent in both cases."""
    observed = Observed({"OBS_TRACING_ENABLED": "true", "OBS_TRACING_CLIENTS": ALL}, span_exporter=exported)
    heard: list[dict[str, str]] = []

    async def call(request: Request) -> Response:
        async with httpx.AsyncClient() as client:
            heard.append((await client.get(neighbour_url, headers={"X-Request-Id": "mine"})).json())
        return PlainTextResponse("")

    with instrumented(observed):
        heard.append(httpx.get(neighbour_url).json())
        anyio.run(converse, obs.build_stack(Starlette(routes=[Route("/", call)]), observed.obs), http_scope("/"))
    observed.obs.flush()
    outside, inside = heard
    assert outside["x-request-id"] is None
    assert inside["x-request-id"] == "mine"
    assert exported.spans[0].context is not None
    assert format_trace_id(exported.spans[0].context.trace_id) in outside["traceparent"]


def test_the_id_is_sent_in_the_configured_header(exported: Exported, neighbour_url: str) -> None:
    """OBS_REQUEST_ID_RESPONSE_HEADER names the header of responses and of outgoing requests."""
    flags = {"OBS_TRACING_ENABLED": "true", "OBS_TRACING_CLIENTS": ALL, "OBS_REQUEST_ID_RESPONSE_HEADER": "X-Shop-Id"}
    observed = Observed(flags, span_exporter=exported)

    async def call(request: Request) -> Response:
        async with httpx.AsyncClient() as client:
            heard = await client.get(neighbour_url, headers={})
        return PlainTextResponse(heard.request.headers["x-shop-id"])

    with instrumented(observed):
        app = obs.build_stack(Starlette(routes=[Route("/", call)]), observed.obs)
        done = anyio.run(converse, app, http_scope("/"))
    assert [done.body] == done.header(b"x-shop-id")


def test_wrapping_an_application_instruments_its_clients(exported: Exported, neighbour_url: str) -> None:
    """`wrap` is enough, like `init`; no library has to be named."""
    observed = Observed({"OBS_TRACING_ENABLED": "true", "OBS_TRACING_CLIENTS": ALL}, span_exporter=exported)
    assert observed.obs.spans is not None

    async def call(request: Request) -> Response:
        async with httpx.AsyncClient() as client:
            return PlainTextResponse((await client.get(neighbour_url)).json()["x-request-id"])

    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        app = obs.wrap(Starlette(routes=[Route("/", call)]), observed.obs)
        answer = anyio.run(converse, app, http_scope("/"))
    finally:
        observed.obs.spans.clients.undo()
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.getLogger("uvicorn.access").disabled = False
    observed.obs.flush()
    assert [answer.body] == answer.header(b"x-request-id")
    assert {span.name for span in exported.spans} == {"GET", "GET /"}
