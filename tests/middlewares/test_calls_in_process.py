"""A request that an application makes within the process is its call, and not what a server lets through."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
import warnings
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from itertools import product

import anyio
import anyio.to_thread
import httpx
import pytest

import divan_obs_asgi as obs
from divan_obs_asgi.connection.record import current_record
from divan_obs_asgi.middlewares import AccessLogMiddleware, ContextMiddleware, MetricsMiddleware, RequestIdMiddleware
from divan_obs_asgi.stack.build import MiddlewareFactory
from divan_obs_asgi.testing import converse, http_scope, websocket_scope
from divan_obs_asgi.types import ASGIApp, Receive, Scope, Send
from tests.servers.asgi import Serving, serve
from tests.stacks import BACKENDS, Observed, run_on

tenant: ContextVar[str] = ContextVar("tenant", default="nobody")
Stacked = Callable[[ASGIApp], ASGIApp]
Work = Callable[["Service"], Awaitable[object]]

# What the application is wrapped in; without anything is what all others have to be like.
STACKS: dict[str, Stacked] = {
    "bare": lambda app: app,
    "all": lambda app: obs.wrap(app, Observed().obs),
    "context alone": lambda app: obs.build_stack(app, Observed().obs, [ContextMiddleware]),
    "context in the middle": lambda app: obs.build_stack(
        app, Observed().obs, [RequestIdMiddleware, ContextMiddleware, MetricsMiddleware]
    ),
    "two stacks": lambda app: obs.wrap(obs.wrap(app, Observed().obs), Observed().obs),
}


async def respond(send: Send, body: str = "") -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body.encode()})


class Service:
    """
    An application that does `before` or `after` its response what a test wants, and tells on every other path who the
    tenant is, which it changes.
    """

    def __init__(self, wrapped: Stacked, before: Work | None = None, after: Work | None = None) -> None:
        self.app = wrapped(self.serve)
        self.before = before
        self.after = after
        self.found: list[object] = []
        self.done = threading.Event()

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            raise RuntimeError("no lifespan")
        if scope["path"] != "/outer":
            found = tenant.get()
            tenant.set("the callee")
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1000})
                self.found.append(found)
                return
            await respond(send, found)
            return
        while (await receive()).get("more_body"):
            pass
        tenant.set("the caller")
        if self.before is not None:
            await self.before(self)
        await respond(send, tenant.get())
        if self.after is not None:
            await self.after(self)
        self.done.set()

    async def call(self) -> None:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://inside") as client:
            self.found.append((await client.get("/inner")).text)
        self.found.append(tenant.get())


async def by_httpx(service: Service) -> None:
    await service.call()


async def by_hand(service: Service) -> None:
    service.found.append((await converse(service.app, http_scope("/inner"))).body.decode())
    service.found.append(tenant.get())


async def by_two_at_once(service: Service) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(service.call)
        tasks.start_soon(service.call)
    service.found.append(tenant.get())


async def by_two_in_a_row(service: Service) -> None:
    await service.call()
    await service.call()


async def by_a_test_client_in_a_thread(service: Service) -> None:
    def call() -> str:
        with warnings.catch_warnings():
            # Of what it is built on it prefers another version.
            warnings.simplefilter("ignore")
            from starlette.testclient import TestClient
        return str(TestClient(service.app).get("/inner").text)

    service.found.append(await anyio.to_thread.run_sync(call))
    service.found.append(tenant.get())


async def by_websocket(service: Service) -> None:
    await converse(service.app, websocket_scope("/inner"), [{"type": "websocket.connect"}])
    service.found.append(tenant.get())


CALLS: list[Work] = [by_httpx, by_hand, by_two_at_once, by_two_in_a_row, by_a_test_client_in_a_thread, by_websocket]
each_call = pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
each_stack = pytest.mark.parametrize("stacked", [name for name in STACKS if name != "bare"])


@each_call
@each_stack
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_call_sees_and_leaves_what_it_does_without_us(when: str, backend: str, stacked: str, call: Work) -> None:
    """The callee sees its caller's variables, and what it sets the caller sees, as far as they are one task."""

    def found(wrapped: Stacked) -> list[object]:
        service = Service(wrapped, **{when: call})
        answer = run_on(backend, converse, service.app, http_scope("/outer"), [{"type": "http.request"}])
        assert answer.error is None
        return service.found

    assert found(STACKS[stacked]) == found(STACKS["bare"])
    assert found(STACKS["bare"])[0] == "the caller"


@pytest.mark.parametrize("stacked", ["all", "two stacks"])
def test_calls_may_be_nested(stacked: str) -> None:
    """Each level sees what the one above has bound."""
    found: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        depth = int(scope["path"][1:])
        found.append(tenant.get())
        tenant.set(f"level {depth}")
        if depth < 3:
            await converse(stack, http_scope(f"/{depth + 1}"))
        await respond(send)

    stack: ASGIApp = STACKS[stacked](app)
    anyio.run(converse, stack, http_scope("/1"))
    assert found == ["nobody", "level 1", "level 2"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("other", [False, True], ids=["the same", "another"])
def test_the_record_of_the_caller_is_current_again(other: bool, when: str) -> None:
    """Also in a background task, whose lines carry the ids of its request."""
    callee = obs.wrap(lambda scope, receive, send: respond(send), Observed().obs)

    async def call(service: Service) -> None:
        before = current_record.get()
        await converse(callee if other else service.app, http_scope("/inner"))
        service.found.append(before is not None and current_record.get() is before)

    service = Service(STACKS["all"], **{when: call})
    anyio.run(converse, service.app, http_scope("/outer"), [{"type": "http.request"}])
    assert service.found == [True]


# Under a real server, where both happen on one connection.

SERVERS = list(product(["httptools", "h11"], ["asyncio", "uvloop"]))
LARGE = b"x" * 200_000


def pipelined(serving: Serving) -> list[str]:
    with socket.create_connection((serving.host, serving.port), timeout=30) as connection:
        connection.sendall(
            b"GET /outer HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )
        with connection.makefile("rb") as stream:
            answers = stream.read()
    return [part.partition(b"\r\n\r\n")[2].decode() for part in answers.split(b"HTTP/1.1 200 OK")[1:]]


def kept_alive_after_a_large_body(serving: Serving) -> list[str]:
    connection = http.client.HTTPConnection(serving.host, serving.port, timeout=30)
    try:
        found = []
        for method, path, body in [("POST", "/outer", LARGE), ("GET", "/next", b""), ("GET", "/next", b"")]:
            connection.request(method, path, body=body)
            found.append(connection.getresponse().read().decode())
        return found[:2] + found[3:]
    finally:
        connection.close()


async def in_child_tasks(service: Service) -> None:
    # More than one, none of which is the task of the request.
    await asyncio.gather(service.call(), service.call())


@pytest.fixture(params=SERVERS, ids="-".join)
def server(request: pytest.FixtureRequest) -> dict[str, str]:
    protocol, loop = request.param
    return {"http": protocol, "loop": loop, "lifespan": "off"}


@pytest.mark.slow
@pytest.mark.interpreter
@pytest.mark.parametrize("client", [pipelined, kept_alive_after_a_large_body], ids=lambda client: client.__name__)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("stacked", ["all", "context alone"])
def test_a_call_and_what_leaks_are_told_apart(
    server: dict[str, str], stacked: str, when: str, client: Callable[[Serving], list[str]]
) -> None:
    """
    A background task's calls see its variables while the next request of the connection sees none of them.

    Its response has ended then, and the calls are made in other tasks than its own, as that request is.
    """
    service = Service(STACKS[stacked], **{when: in_child_tasks})
    with serve(service.app, **server) as serving:
        assert client(serving) == ["the caller", "nobody"]
        assert service.done.wait(30)
    assert service.found == ["the caller", "the callee"] * 2


MIDDLEWARES: list[MiddlewareFactory] = [ContextMiddleware, RequestIdMiddleware, AccessLogMiddleware]


def test_a_call_within_the_servers_send_is_the_servers() -> None:
    """What begins in `receive`, for which uvicorn goes on to read, is as much its own as what begins in `send`."""
    found: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found.append(tenant.get())
        tenant.set(scope["path"])
        if scope["path"] == "/outer":
            await receive()
            assert tenant.get() == "/outer"

    stack = obs.build_stack(app, Observed().obs, MIDDLEWARES)

    async def serves() -> None:
        async def receive() -> dict[str, object]:
            await converse(stack, http_scope("/inner"))
            return {"type": "http.request"}

        async def send(message: object) -> None:
            """Nobody listens."""

        await stack(http_scope("/outer"), receive, send)

    anyio.run(serves)
    assert found == ["nobody", "nobody"]
