"""What a served application leaves to the garbage collector: requests of every ending, by a server in this loop."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import types
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import hypercorn.asyncio
import hypercorn.config
import uvicorn

import divan_obs_asgi as obs
from divan_obs_asgi.connection.record import RECORD_KEY
from divan_obs_asgi.types import ASGIApp, Receive, Scope, Send
from tests.logs.root_logger import root_logger_kept

PACKAGE = str(Path(obs.__file__).parent)
# What is meant to succeed has all the time that a busy machine takes.
PATIENCE_S = 30.0


class Called(Protocol):
    """Whether the application was called."""

    def wait(self) -> Awaitable[object]: ...


# Asks for a path on a port; returns how many requests that was.
Talk = Callable[[str, int, Called], Awaitable[int]]


@contextmanager
def freezing() -> Iterator[None]:
    """Have the garbage collector run in `collected` only, and over nothing that was there before."""
    frozen = gc.get_freeze_count()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        # What was frozen before (tests/conftest.py) stays so, and the little beside it.
        if not frozen:
            gc.unfreeze()
        gc.enable()


@contextmanager
def collected() -> Iterator[list[object]]:
    """Give the objects that only the garbage collector frees, of those made in this block, when it has been left."""
    found: list[object] = []
    gc.collect()
    yield found
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(0)
    found.extend(gc.garbage)
    gc.garbage.clear()


def ours(garbage: list[object]) -> Counter[str]:
    """Return the kinds of objects of the package, and how many there are of each."""
    return Counter(name for name in map(_name_of_ours, garbage) if name)


def _name_of_ours(found: object) -> str:
    if isinstance(found, types.TracebackType):
        found = found.tb_frame
    code = getattr(found, "gi_code", None) or getattr(found, "cr_code", None)
    code = code or getattr(found, "f_code", None) or getattr(found, "__code__", None)
    if isinstance(code, types.CodeType):
        return f"{type(found).__name__} of {code.co_qualname}" if code.co_filename.startswith(PACKAGE) else ""
    if isinstance(found, types.MethodType):
        return _name_of_ours(found.__func__)
    if isinstance(found, dict):
        return "scope" if RECORD_KEY in found else ""
    module = str(type(found).__module__)
    return type(found).__qualname__ if module.startswith("divan_obs_asgi") else ""


@asynccontextmanager
async def _uvicorn(app: ASGIApp, listener: socket.socket, http: str) -> AsyncIterator[None]:
    config = uvicorn.Config(app, log_config=None, lifespan="off", http=http, ws="websockets-sansio")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve([listener]))
    yield
    server.should_exit = True
    await serving


@asynccontextmanager
async def _hypercorn(app: ASGIApp, listener: socket.socket, http: str) -> AsyncIterator[None]:
    config = hypercorn.config.Config()
    config.bind = [f"fd://{os.dup(listener.fileno())}"]  # Which it closes.
    config.graceful_timeout = 0.1
    config.errorlog = None
    over = asyncio.Event()
    served: Any = app
    serving = asyncio.create_task(hypercorn.asyncio.serve(served, config, shutdown_trigger=over.wait))
    yield
    over.set()
    await serving


SERVERS = {"httptools": _uvicorn, "h11": _uvicorn, "hypercorn": _hypercorn}


async def _serve(server: str, app: ASGIApp, endings: Iterable[str], times: int) -> dict[str, list[object]]:
    called, left = asyncio.Event(), asyncio.Semaphore(0)

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            raise LookupError("no lifespan")
        called.set()
        try:
            await app(scope, receive, send)
        finally:
            left.release()

    async def come(ending: str, number: int) -> None:
        for _ in range(number):
            called.clear()
            for _ in range(await ENDINGS[ending][1](f"/{ending}", port, called)):
                await asyncio.wait_for(left.acquire(), PATIENCE_S)
        await settle()

    found = {}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        async with SERVERS[server](watched, listener, server):
            with freezing():
                for ending in endings:
                    await come(ending, 2)  # What is made once.
                    with collected() as found[ending]:
                        await come(ending, times)
    return found


@contextmanager
def nobody_keeping_lines() -> Iterator[None]:
    """Take pytest's handlers off the root logger: they keep each line, with its exception."""
    with root_logger_kept():
        root = logging.getLogger()
        observing = [one for one in root.handlers if type(one).__module__.startswith("divan_obs_asgi")]
        root.handlers[:] = [logging.NullHandler(), *observing]
        yield


def garbage_of(server: str, app: ASGIApp, endings: Iterable[str], times: int) -> dict[str, list[object]]:
    """Return what so many requests of each ending leave."""
    with nobody_keeping_lines():
        return asyncio.run(_serve(server, app, endings, times))


async def settle() -> None:
    """Let servers and tasks do what they have still to do."""
    for _ in range(50):
        await asyncio.sleep(0)


# The clients.


async def ask(port: int, *questions: bytes) -> bytes:
    """Send this in one go, and return what comes until the server closes the connection."""
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", port))
        await loop.sock_sendall(client, b"".join(questions))
        return await until_closed(client)


async def until_closed(client: socket.socket) -> bytes:
    """Return what comes until the server closes the connection."""
    loop, received = asyncio.get_running_loop(), bytearray()
    with suppress(ConnectionError):
        while some := await asyncio.wait_for(loop.sock_recv(client, 65536), PATIENCE_S):
            received += some
    return bytes(received)


def request(line: str, *headers: str, body: str = "") -> bytes:
    """Return an HTTP request."""
    lines = (f"{line} HTTP/1.1", "host: testserver", *headers, f"content-length: {len(body)}")
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode() + body.encode()


LAST = "connection: close"


async def asks(path: str, port: int, called: Called) -> int:
    """Ask, and read to the end."""
    await ask(port, request(f"GET {path}", LAST))
    return 1


async def pipelines(path: str, port: int, called: Called) -> int:
    """Ask for this behind another one, which is still being answered: uvicorn starts it from within that one."""
    await ask(port, request(f"GET {path.rpartition('/')[0]}/ok"), request(f"GET {path}", LAST))
    return 2


async def leaves(path: str, port: int, called: Called) -> int:
    """Ask, and leave while the application works."""
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", port))
        await loop.sock_sendall(client, request(f"GET {path}"))
        await asyncio.wait_for(called.wait(), PATIENCE_S)
    return 1


async def leaves_in_the_middle(path: str, port: int, called: Called) -> int:
    """Ask, read the start of an endless response, and leave."""
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", port))
        await loop.sock_sendall(client, request(f"GET {path}"))
        received = b""
        while b"hello" not in received:
            some = await asyncio.wait_for(loop.sock_recv(client, 65536), PATIENCE_S)
            assert some, received
            received += some
    return 1


@asynccontextmanager
async def upgraded(path: str, port: int) -> AsyncIterator[tuple[socket.socket, bytes]]:
    """Open a WebSocket; gives its socket, and what the server has said."""
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", port))
        key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="
        headers = ("connection: upgrade", "upgrade: websocket", "sec-websocket-version: 13", key)
        await loop.sock_sendall(client, request(f"GET {path}", *headers))
        answer = b""
        with suppress(ConnectionError):  # A server may reset the connection instead of an answer.
            answer = await asyncio.wait_for(loop.sock_recv(client, 65536), PATIENCE_S)
        yield client, answer


def frame(opcode: int, payload: bytes) -> bytes:
    """Return a final frame of RFC 6455 that is short, under a mask of zeros."""
    return bytes((0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0)) + payload


CLOSE = frame(8, (1000).to_bytes(2))


async def upgrades(path: str, port: int, called: Called) -> int:
    """Open a WebSocket, send a message, close, and read to the end."""
    loop = asyncio.get_running_loop()
    async with upgraded(path, port) as (client, answer):
        if answer.startswith(b"HTTP/1.1 101"):
            with suppress(ConnectionError):
                await loop.sock_sendall(client, frame(1, b"hello"))
                # Until it has answered, or begun to close.
                while b"hello" not in answer and b"\x88" not in answer:
                    some = await asyncio.wait_for(loop.sock_recv(client, 65536), PATIENCE_S)
                    answer += some or b"\x88"
                await loop.sock_sendall(client, CLOSE)
        else:
            with suppress(OSError):
                client.shutdown(socket.SHUT_WR)
        await until_closed(client)
    return 1


async def upgrades_and_leaves(path: str, port: int, called: Called) -> int:
    """Open a WebSocket, and leave without a word."""
    async with upgraded(path, port):
        return 1


# The application.

_START: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]}
_logger = logging.getLogger("tests.garbage")
_left_behind: set[asyncio.Task[None]] = set()


def _body(more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": b"hello", "more_body": more}


async def ok(scope: Scope, receive: Receive, send: Send) -> None:
    _logger.debug("working")
    await receive()
    await send(_START)
    await send(_body())


async def streaming(scope: Scope, receive: Receive, send: Send) -> None:
    await send(_START)
    for more in (True, True, False):
        await send(_body(more))


async def error(scope: Scope, receive: Receive, send: Send) -> None:
    raise LookupError("before the start")


async def answered_error(scope: Scope, receive: Receive, send: Send) -> None:
    """As Starlette does."""
    try:
        raise LookupError("in the handler")
    except LookupError:
        await send({**_START, "status": 500})
        await send(_body())
        raise


async def caused_error(scope: Scope, receive: Receive, send: Send) -> None:
    try:
        await error(scope, receive, send)
    except LookupError as cause:
        raise RuntimeError("of another") from cause


async def grouped_error(scope: Scope, receive: Receive, send: Send) -> None:
    raise ExceptionGroup("several", [LookupError("one"), ValueError("two")])


async def error_after_start(scope: Scope, receive: Receive, send: Send) -> None:
    await send(_START)
    await send(_body(more=True))
    raise LookupError("in the middle")


async def client_disconnect(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    await send(_START)
    await send(_body())


async def error_after_disconnect(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    raise OSError("the client has gone")


async def left_while_sending(scope: Scope, receive: Receive, send: Send) -> None:
    """As Starlette streams: one task sends, another one waits until the client has left."""

    async def until_left() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    leaving = asyncio.create_task(until_left())
    try:
        await send(_START)
        while not leaving.done():
            await send(_body(more=True))
            await asyncio.sleep(0.005)
    finally:
        leaving.cancel()


async def cancelled(scope: Scope, receive: Receive, send: Send) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(PATIENCE_S)


async def incomplete(scope: Scope, receive: Receive, send: Send) -> None:
    await send(_START)


async def no_response(scope: Scope, receive: Receive, send: Send) -> None: ...


async def background(scope: Scope, receive: Receive, send: Send) -> None:
    await ok(scope, receive, send)
    await asyncio.sleep(0)
    _logger.warning("afterwards")


async def failing_background(scope: Scope, receive: Receive, send: Send) -> None:
    await ok(scope, receive, send)
    raise LookupError("afterwards")


async def outliving(scope: Scope, receive: Receive, send: Send) -> None:
    async def go_on() -> None:
        await asyncio.sleep(0)
        _logger.warning("long afterwards")
        with suppress(Exception):
            await send(_body())

    task = asyncio.create_task(go_on())
    _left_behind.add(task)
    task.add_done_callback(_left_behind.discard)
    await ok(scope, receive, send)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def refused(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.close"})


async def closing(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close", "code": 1011})


async def error_in_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    await receive()
    raise LookupError("in the middle")


async def error_on_the_way_out(scope: Scope, receive: Receive, send: Send) -> None:
    await echo(scope, receive, send)
    raise LookupError("on the way out")


async def cancelled_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    await cancelled(scope, receive, send)


async def incomplete_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})


# By name: what the application does, and its client.
ENDINGS: dict[str, tuple[ASGIApp, Talk]] = {
    **{
        app.__name__: (app, asks)
        for app in (
            *(ok, streaming, error, answered_error, caused_error, grouped_error, error_after_start, cancelled),
            *(incomplete, no_response, background, failing_background, outliving),
        )
    },
    **{app.__name__: (app, leaves) for app in (client_disconnect, error_after_disconnect)},
    "left_while_sending": (left_while_sending, leaves_in_the_middle),
    **{
        app.__name__: (app, upgrades)
        for app in (
            *(echo, refused, closing, error, error_in_websocket, error_on_the_way_out),
            *(cancelled_websocket, incomplete_websocket),
        )
        if app is not error
    },
    "pipelined": (ok, pipelines),
    "pipelined_error": (error, pipelines),
    "pipelined_cancelled": (cancelled, pipelines),
    "error_before_accept": (error, upgrades),
    "websocket_left": (echo, upgrades_and_leaves),
}


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Ends each request as the first part of its path says."""
    await ENDINGS[scope["path"].strip("/")][0](scope, receive, send)
