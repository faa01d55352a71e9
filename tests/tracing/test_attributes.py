"""The table of attributes in docs/tracing.md: what spans of a run have, under the names of the conventions."""

from __future__ import annotations

import asyncio
import pkgutil
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from types import ModuleType

import aiosqlite
import anyio
import anyio.to_thread
import httpx
import redis.asyncio
import requests
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.semconv import _incubating, attributes
from opentelemetry.trace import SpanKind
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import divan_obs_asgi as obs
from divan_obs_asgi.testing import converse, http_scope
from tests.pages import Page, coded
from tests.patience import PATIENCE_S
from tests.servers.asgi import serve
from tests.servers.process import free_port
from tests.servers.redis import RedisServer
from tests.socketio_ext.test_traces import TRACED, Process, client_of, settle

OWN = ("divan.", "socketio.", "websocket.")
TABLE = {row["span"]: row for row in Page("tracing.md").table("span", "kind", "name", "attributes")}


def names_of_the_conventions() -> set[str]:
    """Return the names of all attributes that the installed version of the conventions has, old ones too."""
    return {
        value
        for package in (attributes, import_module(f"{_incubating.__name__}.attributes"))
        for module in modules_of(package)
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, str)
    }


def modules_of(package: ModuleType) -> Iterator[ModuleType]:
    for found in pkgutil.iter_modules(package.__path__):
        yield import_module(f"{package.__name__}.{found.name}")


def test_every_name_is_one_of_the_conventions() -> None:
    """Or begins with a word of this library."""
    documented = {name for row in TABLE.values() for name in coded(row["attributes"]) if "=" not in name}
    unknown = documented - names_of_the_conventions()
    assert {name for name in unknown if not name.startswith(OWN)} == set()


def row_of(span: ReadableSpan) -> str:
    found = span.attributes or {}
    if span.kind is SpanKind.SERVER:
        return "request"
    if span.kind is SpanKind.CONSUMER:
        return "event"
    if span.kind is SpanKind.CLIENT:
        return {"redis": "Redis", None: "HTTP call"}.get(
            str(found["db.system.name"]) if "db.system.name" in found else None, "SQL"
        )
    return "messaging" if "messaging.system" in found else "internal"


def test_spans_of_a_run_have_only_documented_attributes(redis_server: RedisServer) -> None:
    """A request with all kinds of calls, and a Socket.IO event that emits."""
    process = Process(environ={**TRACED, "OBS_TRACING_CLIENTS": "httpx,requests,aiosqlite,redis"})
    observed = process.observed
    assert observed.obs.spans is not None

    async def use(request: Request) -> Response:
        async with redis.asyncio.from_url(redis_server.url) as store, store.pipeline() as pipeline:
            pipeline.get("a")
            pipeline.get("b")
            await pipeline.execute()
            await store.get("c")
        async with aiosqlite.connect(":memory:") as connection:
            await connection.execute("CREATE TABLE people (name)")
            await connection.executemany("INSERT INTO people VALUES (?)", [("a",), ("b",)])
        async with httpx.AsyncClient() as client:
            await client.get(serving.url)
            with suppress(httpx.ConnectError):
                await client.get(f"http://127.0.0.1:{free_port()}")
        await anyio.to_thread.run_sync(lambda: requests.get(serving.url, timeout=PATIENCE_S))
        with observed.obs.work.span("render"):
            raise LookupError

    async def hello(request: Request) -> Response:
        return PlainTextResponse("")

    async def conversation() -> None:
        client = await client_of(process.server)
        await client.send('2["say"]')
        await settle()

    clients = observed.obs.spans.clients
    with serve(Starlette(routes=[Route("/", hello)]), lifespan="off") as serving:
        clients.instrument()
        try:
            app = obs.build_stack(Starlette(routes=[Route("/use", use)]), observed.obs)
            anyio.run(converse, app, http_scope("/use"))
            asyncio.run(conversation())
        finally:
            clients.undo()
    observed.obs.flush()

    seen = {row_of(span) for span in process.exported.spans}
    assert seen == set(TABLE), seen
    for span in process.exported.spans:
        row = TABLE[row_of(span)]
        assert set(span.attributes or {}) <= set(coded(row["attributes"])), span.name
        assert span.kind.name == row["kind"]
