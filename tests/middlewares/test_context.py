"""What one request sets is not seen by another one, also where the server starts it from within the first."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import threading
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextvars import ContextVar

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
import httpx
import pytest

import divan_obs_asgi as obs
from divan_obs_asgi.connection.channel import in_server
from divan_obs_asgi.connection.record import Record, current_record
from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.middlewares import ContextMiddleware, RequestIdMiddleware
from divan_obs_asgi.stack.build import MiddlewareFactory
from divan_obs_asgi.testing import Conversation, converse, http_scope, websocket_scope
from divan_obs_asgi.types import ASGIApp, Message, Receive, Scope, Send
from tests.patience import PATIENCE_S
from tests.servers.asgi import Serving, serve
from tests.stacks import BACKENDS, Observed, run_on

# What an application binds to its request: the user, the tenant, a database session.
who: ContextVar[str] = ContextVar("who", default="nobody")

SERVERS = [("httptools", "asyncio"), ("httptools", "uvloop"), ("h11", "asyncio"), ("h11", "uvloop")]
each_server = pytest.mark.parametrize(("protocol", "loop"), SERVERS)
# Larger than what uvicorn reads ahead (64 KiB), so that it stops reading and begins again when the body is asked for.
LARGE = b"x" * 200_000

Client = Callable[[Serving], list[str]]


async def says_who(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with who was bound when the request began, and bind its own path."""
    found = who.get()
    who.set(scope["path"])
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(found))]})
    await send({"type": "http.response.body", "body": found.encode()})


def pipelines(serving: Serving) -> list[str]:
    """Send two requests at once, on one connection, and return both answers."""
    with socket.create_connection((serving.host, serving.port), timeout=PATIENCE_S) as connection:
        connection.sendall(
            b"GET /first HTTP/1.1\r\nHost: a\r\n\r\nGET /second HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )
        with connection.makefile("rb") as stream:
            answers = stream.read()
    return [part.partition(b"\r\n\r\n")[2].decode() for part in answers.split(b"HTTP/1.1 200 OK")[1:]]


def keeps_alive_after_a_large_body(serving: Serving) -> list[str]:
    """Send a large body, read the answer, and send another request on the same connection."""
    connection = http.client.HTTPConnection(serving.host, serving.port, timeout=PATIENCE_S)
    try:
        connection.request("POST", "/first", body=LARGE)
        first = connection.getresponse().read().decode()
        connection.request("GET", "/second")
        return [first, connection.getresponse().read().decode()]
    finally:
        connection.close()


CLIENTS: list[Client] = [pipelines, keeps_alive_after_a_large_body]
each_client = pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__)


def answers(app: ASGIApp, client: Client, protocol: str, loop: str) -> list[str]:
    with serve(app, lifespan="off", http=protocol, loop=loop) as serving:
        return client(serving)


# uvloop reads on in the context of the server, and so lets nothing through but what is pipelined.
@pytest.mark.parametrize(
    ("protocol", "loop", "client"),
    [
        ("httptools", "asyncio", pipelines),
        ("httptools", "asyncio", keeps_alive_after_a_large_body),
        ("httptools", "uvloop", pipelines),
        ("h11", "asyncio", pipelines),
        ("h11", "asyncio", keeps_alive_after_a_large_body),
        ("h11", "uvloop", pipelines),
    ],
)
def test_uvicorn_lets_context_variables_through(protocol: str, loop: str, client: Client) -> None:
    """Why the middleware is there (Kludex/uvicorn#2912). Where this fails, uvicorn has learned better."""
    assert answers(says_who, client, protocol, loop) == ["nobody", "/first"]


@each_client
@each_server
def test_nothing_that_was_bound_is_seen_by_the_next_request(protocol: str, loop: str, client: Client) -> None:
    """The user of one request is not the user of the next one of its connection."""
    stack = obs.build_stack(says_who, Observed().obs)
    assert answers(stack, client, protocol, loop) == ["nobody", "nobody"]


def test_an_idle_connection_keeps_nothing_of_its_last_request() -> None:
    """uvicorn's timer of a connection copies the context variables of the request that has just ended."""
    freed = threading.Event()
    kept = []

    async def notes_its_record(scope: Scope, receive: Receive, send: Send) -> None:
        kept.append(weakref.ref(scope["divan_obs_asgi.record"], lambda _: freed.set()))
        await says_who(scope, receive, send)

    stack = obs.build_stack(notes_its_record, Observed().obs)
    with serve(stack, lifespan="off", http="httptools", timeout_keep_alive=600) as serving:
        connection = http.client.HTTPConnection(serving.host, serving.port, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            connection.request("GET", "/first")
            connection.getresponse().read()
            assert freed.wait(PATIENCE_S)


def test_a_middleware_around_the_stack_sends_in_the_context_of_the_request() -> None:
    """It may reset at the end what it has set at the start, and return any awaitable; it knows the request's record."""
    records: list[object] = []
    stack = obs.build_stack(says_who, Observed().obs)

    async def around(scope: Scope, receive: Receive, send: Send) -> None:
        tokens = []

        def sends(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                tokens.append(who.set("around"))
            else:
                who.reset(tokens.pop())
                records.append(current_record.get())
            return asyncio.ensure_future(send(message))

        await stack(scope, receive, sends)

    with serve(around, lifespan="off", http="h11") as serving:
        assert httpx.get(serving.url).text == "nobody"
    assert isinstance(records[0], Record)


class Looks:
    """A middleware of somebody else, which looks for a record before its own request has one."""

    seen: list[Record | None]

    def __init__(self, app: ASGIApp, obs: obs.Observability) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen.append(current_record.get())
        await self.app(scope, receive, send)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Record | None]:
    """What `Looks` has seen in this test."""
    found: list[Record | None] = []
    monkeypatch.setattr(Looks, "seen", found, raising=False)
    return found


@each_client
def test_without_it_the_record_of_the_request_before_is_seen(seen: list[Record | None], client: Client) -> None:
    """A log line written then would carry the ids of the wrong request."""
    stack = obs.build_stack(says_who, Observed().obs, [Looks, RequestIdMiddleware])
    answers(stack, client, "httptools", "asyncio")
    assert seen[0] is None
    assert isinstance(seen[1], RequestRecord)


@each_client
def test_the_record_of_the_request_before_is_not_seen(seen: list[Record | None], client: Client) -> None:
    """Until a request has a record of its own, it has none."""
    stack = obs.build_stack(says_who, Observed().obs, [ContextMiddleware, Looks, RequestIdMiddleware])
    answers(stack, client, "httptools", "asyncio")
    assert seen == [None, None]


@pytest.mark.slow
@pytest.mark.interpreter
@pytest.mark.parametrize("protocol", ["httptools", "h11"])
def test_a_long_row_of_requests_stays_apart(protocol: str) -> None:
    """The twelfth request of a connection is as clean as the second one."""

    def client(serving: Serving) -> list[str]:
        connection = http.client.HTTPConnection(serving.host, serving.port, timeout=PATIENCE_S)
        found = []
        for number in range(12):
            connection.request("POST", f"/{number}", body=LARGE if number % 3 == 0 else b"")
            found.append(connection.getresponse().read().decode())
        connection.close()
        return found

    assert answers(obs.build_stack(says_who, Observed().obs), client, protocol, "asyncio") == ["nobody"] * 12


def test_it_steps_aside_where_it_is_off() -> None:
    """Behind a server that keeps contexts apart itself there is nothing to do."""
    observed = Observed({"OBS_CONTEXT_ENABLED": "false"})
    with pytest.raises(obs.MiddlewareNotUsed, match=r"^OBS_CONTEXT_ENABLED is false$"):
        ContextMiddleware(says_who, observed.obs)


# From here on without a server: one request is begun from within the `send` of another, as uvicorn does it.
END: Message = {"type": "http.response.body"}


def begins_in_send(app: ASGIApp, next_request: Callable[[], Awaitable[object]], *, backend: str) -> None:
    """Serve a request by `app`, and have its server begin the next one while the first one is in its `send`."""

    async def receive() -> Message:
        raise AssertionError("there is nothing to receive")

    async def send(message: Message) -> None:
        await next_request()

    run_on(backend, app, http_scope("/outer"), receive, send)


def from_within(app: ASGIApp, scope: Scope, *, backend: str) -> Conversation:
    """Serve `scope` by `app` behind the middleware, from within a request that has bound something."""
    inner: list[Conversation] = []

    async def outer(outer_scope: Scope, receive: Receive, send: Send) -> None:
        if outer_scope["path"] != "/outer":
            await app(outer_scope, receive, send)
            return
        who.set("the outer request")
        await send(END)
        assert who.get() == "the outer request"

    stack = ContextMiddleware(outer, Observed().obs)

    async def next_request() -> None:
        inner.append(await converse(stack, scope))

    begins_in_send(stack, next_request, backend=backend)
    return inner[0]


def isolated(work: Callable[[], Awaitable[None]], *, backend: str) -> Conversation:
    """Do some work in an isolated request, and see that it was one."""
    worked: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert who.get() == "nobody"
        await work()
        worked.append(True)

    done = from_within(app, http_scope("/inner"), backend=backend)
    assert done.error is not None or worked
    return done


each_backend = pytest.mark.parametrize("backend", BACKENDS)
asyncio_only = pytest.mark.parametrize("backend", ["asyncio", "uvloop"])


@each_backend
@pytest.mark.parametrize("scope", [http_scope("/inner"), websocket_scope("/inner")], ids=["http", "websocket"])
def test_a_request_that_the_server_begins_in_another_is_apart_from_it(scope: Scope, backend: str) -> None:
    """In both directions: it sees nothing, and leaves nothing."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert who.get() == "nobody"
        who.set("the inner request")
        await anyio.lowlevel.checkpoint()
        assert who.get() == "the inner request"

    assert from_within(app, {**scope}, backend=backend).error is None


@each_backend
def test_a_second_stack_further_in_sees_the_same_request(backend: str) -> None:
    """What an outer middleware has bound for the application is not taken away by an inner stack."""
    observed = Observed()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert who.get() == "the tenant"

    inner = ContextMiddleware(app, observed.obs)

    async def binds(scope: Scope, receive: Receive, send: Send) -> None:
        who.set("the tenant")
        await inner(scope, receive, send)

    stack = ContextMiddleware(binds, observed.obs)
    assert run_on(backend, converse, stack, http_scope()).error is None


@each_backend
def test_a_request_that_fails_leaves_nothing_behind(backend: str) -> None:
    """The next one is as clean, whether the failure was within another request or not."""
    found: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found.append(who.get())
        who.set(scope["path"])
        if scope["path"] == "/outer":
            await send(END)
        raise ValueError("on purpose")

    stack: ASGIApp = ContextMiddleware(app, Observed().obs)

    async def next_requests() -> None:
        for _ in range(2):
            assert str((await converse(stack, http_scope("/inner"))).error) == "on purpose"

    for _ in range(2):
        with pytest.raises(ValueError, match=r"^on purpose$"):
            begins_in_send(stack, next_requests, backend=backend)
    assert found == ["nobody"] * 6


@each_backend
def test_tasks_see_what_the_request_has_bound(backend: str) -> None:
    """A child task starts with the values of the request that made it, and keeps its own to itself."""

    async def work() -> None:
        seen = []

        async def child() -> None:
            seen.append(who.get())
            who.set("the child")
            await anyio.lowlevel.checkpoint()
            seen.append(who.get())

        who.set("the request")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(child)
        assert seen == ["the request", "the child"]
        assert who.get() == "the request"

    assert isolated(work, backend=backend).error is None


@asyncio_only
def test_asyncio_tasks_and_callbacks_see_it_too(backend: str) -> None:
    """`create_task`, `TaskGroup`, `gather` and the callbacks of futures copy the isolated context."""

    async def work() -> None:
        async def child() -> str:
            await asyncio.sleep(0)
            return who.get()

        who.set("the request")
        assert await asyncio.create_task(child()) == "the request"
        assert list(await asyncio.gather(child(), child())) == ["the request"] * 2
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(child())
        assert task.result() == "the request"

        seen: list[str] = []
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda _: seen.append(who.get()))
        future.set_result(None)
        asyncio.get_running_loop().call_soon(lambda: seen.append(who.get()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert seen == ["the request"] * 2

    assert isolated(work, backend=backend).error is None


@each_backend
def test_threads_see_it_and_can_call_back(backend: str) -> None:
    """Into a worker thread and back to the event loop."""

    async def back() -> str:
        await anyio.lowlevel.checkpoint()
        return who.get()

    def in_a_thread() -> list[str]:
        return [who.get(), anyio.from_thread.run(back), anyio.from_thread.run_sync(who.get)]

    async def work() -> None:
        who.set("the request")
        assert await anyio.to_thread.run_sync(in_a_thread) == ["the request"] * 3
        assert who.get() == "the request"

    assert isolated(work, backend=backend).error is None


@asyncio_only
def test_asyncio_to_thread_sees_it(backend: str) -> None:
    """The same by asyncio's own function."""

    async def work() -> None:
        who.set("the request")
        assert await asyncio.to_thread(who.get) == "the request"

    assert isolated(work, backend=backend).error is None


@asyncio_only
def test_asyncio_timeouts_work(backend: str) -> None:
    """`asyncio.timeout` and `wait_for` end what takes too long, and nothing more."""

    async def work() -> None:
        who.set("the request")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.005):
                await anyio.sleep_forever()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anyio.sleep_forever(), 0.005)
        async with asyncio.timeout(10):
            await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        assert who.get() == "the request"

    assert isolated(work, backend=backend).error is None


@each_backend
def test_cancel_scopes_work(backend: str) -> None:
    """A scope cancels what is in it; a shield holds; what comes after goes on."""

    async def work() -> None:
        who.set("the request")
        with anyio.move_on_after(0.005) as moving_on:
            await anyio.sleep_forever()
        assert moving_on.cancelled_caught
        with pytest.raises(TimeoutError), anyio.fail_after(0.005):
            await anyio.sleep_forever()
        with anyio.CancelScope() as outer:
            outer.cancel()
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
                assert who.get() == "the request"
            await anyio.lowlevel.checkpoint()
            raise AssertionError("the checkpoint above is cancelled")
        await anyio.lowlevel.checkpoint()
        assert who.get() == "the request"

    assert isolated(work, backend=backend).error is None


@each_backend
def test_a_cancelled_request_is_cancelled_inside(backend: str) -> None:
    """The application can clean up, in its own context, and cannot be kept alive by the isolation."""
    cleaned_up: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/outer":
            await send(END)
            return
        who.set("the request")
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
            cleaned_up.append(who.get())
            raise

    stack = ContextMiddleware(app, Observed().obs)

    async def next_request() -> None:
        with anyio.move_on_after(0.005) as leaving:
            await converse(stack, http_scope("/inner"))
        assert leaving.cancelled_caught

    begins_in_send(stack, next_request, backend=backend)
    assert cleaned_up == ["the request"]


@asyncio_only
def test_a_cancelled_task_ends_as_cancelled(backend: str) -> None:
    """A server that cancels the task of a request finds it cancelled, with its message."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/outer":
            who.set("the outer request")
            await send(END)
            return
        assert who.get() == "nobody"
        await anyio.sleep_forever()

    stack = ContextMiddleware(app, Observed().obs)

    async def next_request() -> None:
        task = asyncio.ensure_future(converse(stack, http_scope("/inner")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel("the client has gone")
        with pytest.raises(asyncio.CancelledError, match=r"^the client has gone$"):
            await task
        assert task.cancelled()

    begins_in_send(stack, next_request, backend=backend)


@each_backend
def test_an_exception_is_the_applications_own(backend: str) -> None:
    """The same object, with the place where it was raised, and catchable on the way."""
    error = ValueError("on purpose")

    async def raises() -> None:
        await anyio.lowlevel.checkpoint()
        raise error

    async def work() -> None:
        with pytest.raises(ValueError, match=r"^on purpose$"):
            await raises()
        await raises()

    done = isolated(work, backend=backend)
    assert done.error is error
    assert error.__traceback__ is not None
    frames = []
    frame = error.__traceback__
    while frame is not None:
        frames.append(frame.tb_frame.f_code.co_name)
        frame = frame.tb_next  # type: ignore[assignment]
    assert frames[-2:] == ["work", "raises"]


@each_backend
@pytest.mark.parametrize("error", [StopIteration(), StopAsyncIteration(), GeneratorExit(), KeyError("a")], ids=repr)
def test_exceptions_that_mean_something_to_generators_go_through(error: BaseException, backend: str) -> None:
    """They end the request as they do without isolation (PEP 479 makes a RuntimeError of StopIteration)."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await anyio.lowlevel.checkpoint()
        raise error

    bare = run_on(backend, converse, app, http_scope("/inner"))
    done = from_within(app, http_scope("/inner"), backend=backend)
    assert type(done.error) is type(bare.error)
    assert str(done.error) == str(bare.error)


@each_backend
def test_tokens_and_generators_keep_their_context(backend: str) -> None:
    """A variable is reset by the token of an earlier step; an asynchronous generator is closed where it was opened."""

    async def values() -> AsyncGenerator[str, None]:
        token = who.set("the generator")
        try:
            while True:
                yield who.get()
                await anyio.lowlevel.checkpoint()
        finally:
            who.reset(token)

    async def work() -> None:
        token = who.set("the request")
        await anyio.lowlevel.checkpoint()
        generator = values()
        assert await anext(generator) == "the generator"
        assert await anext(generator) == "the generator"
        await generator.aclose()
        assert who.get() == "the request"
        await anyio.lowlevel.checkpoint()
        who.reset(token)
        assert who.get() == "nobody"

    assert isolated(work, backend=backend).error is None


def test_an_abandoned_request_is_closed() -> None:
    """A coroutine that is closed before its end runs its `finally`."""
    ended: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/outer":
            who.set("the outer request")
            await send(END)
            return
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(who.get())

    stack = ContextMiddleware(app, Observed().obs)

    async def next_request() -> None:
        coroutine = converse(stack, http_scope("/inner")).__await__()
        next(coroutine)
        coroutine.close()

    begins_in_send(stack, next_request, backend="asyncio")
    assert ended == ["nobody"]


@each_backend
def test_messages_come_and_go_as_always(backend: str) -> None:
    """`receive` and `send` are the server's own, in order."""
    incoming: list[Message] = [
        {"type": "http.request", "body": b"a", "more_body": True},
        {"type": "http.request", "body": b"b"},
    ]

    async def echo(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/outer":
            await send(END)
            return
        await send({"type": "http.response.start", "status": 201, "headers": []})
        for more_body in (True, False):
            await send({"type": "http.response.body", "body": (await receive())["body"], "more_body": more_body})

    done: list[Conversation] = []
    stack: ASGIApp = ContextMiddleware(echo, Observed().obs)

    async def next_request() -> None:
        done.append(await converse(stack, http_scope("/inner"), [dict(message) for message in incoming]))

    begins_in_send(stack, next_request, backend=backend)
    assert (done[0].status, done[0].body) == (201, b"ab")


@each_backend
def test_it_may_stand_anywhere(backend: str) -> None:
    """Not outermost it still isolates what is below it."""
    order: list[MiddlewareFactory] = [RequestIdMiddleware, ContextMiddleware]
    observed = Observed()
    found: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found.append(who.get())
        who.set(scope["path"])
        if scope["path"] == "/outer":
            await send(END)

    stack = obs.build_stack(app, observed.obs, order)
    begins_in_send(stack, lambda: converse(stack, http_scope("/inner")), backend=backend)
    assert found == ["nobody", "nobody"]


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_what_ends_no_response_costs_nothing(kind: str) -> None:
    """A server starts a request where another one has ended, or reads on: not in mid response, nor after an upgrade."""
    marked: list[tuple[str, bool]] = []
    start: Message = {"type": "http.response.start", "status": 200, "headers": []}
    body: Message = {"type": "http.response.body"}
    messages: dict[str, list[Message]] = {
        "http": [start, {**body, "more_body": True}, body],
        "websocket": [
            {"type": "websocket.accept"},
            {"type": "websocket.send", "text": ""},
            {"type": "websocket.close"},
        ],
    }

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        for message in messages[kind]:
            await send(message)

    async def receive() -> Message:
        marked.append(("receive", in_server.get() is not None))
        return {"type": "http.request"} if kind == "http" else {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        marked.append((message["type"], in_server.get() is not None))

    chain = (ContextMiddleware, RequestIdMiddleware)
    anyio.run(
        obs.build_stack(app, Observed().obs, chain),
        {"http": http_scope, "websocket": websocket_scope}[kind](),
        receive,
        send,
    )
    read, *others, last = [is_marked for _, is_marked in marked]
    assert (read, last) == (kind == "http", kind == "http")
    assert not any(others)
