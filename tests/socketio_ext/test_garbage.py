"""Nothing of the library's waits for the garbage collector, whatever a Socket.IO client does, and however it goes."""

# python-socketio is not annotated.
# mypy: allow-untyped-calls

from __future__ import annotations

import asyncio
import base64
import json
import logging
import socket
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import cache, partial
from typing import Any

import pytest
import socketio
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from socketio.exceptions import ConnectionRefusedError as Refused

import divan_obs_asgi as obs
from tests.garbage import (
    LAST,
    SERVERS,
    ask,
    collected,
    frame,
    freezing,
    nobody_keeping_lines,
    ours,
    request,
    settle,
    upgraded,
)
from tests.patience import PATIENCE_S
from tests.stacks import Observed

pytestmark = [pytest.mark.slow, pytest.mark.interpreter]

# Of each event that a client calls, and of all else that it does several times.
CALLS, TIMES = 30, 5
PATH = "/socket.io/?EIO=4"
# Packets of Engine.IO, by their first letter.
CLOSED, PING, PONG, NOOP = "1236"
SEPARATOR = "\x1e"


# The server.


async def echo(sid: str, *args: object) -> tuple[object, ...]:
    return args


def echo_at_once(sid: str, *args: object) -> tuple[object, ...]:
    return args


async def fail(sid: str, *args: object) -> None:
    raise LookupError("on purpose")


def fail_at_once(sid: str, *args: object) -> None:
    raise LookupError("on purpose")


async def fail_of_another(sid: str, *args: object) -> None:
    try:
        fail_at_once(sid)
    except LookupError as cause:
        raise ValueError("of another") from cause


async def cancel(sid: str, *args: object) -> None:
    raise asyncio.CancelledError


def expect_nothing(sid: str) -> None: ...


EVENT_HANDLERS = (echo, echo_at_once, fail, fail_at_once, fail_of_another, cancel, expect_nothing)


def accept(sid: str, environ: object, auth: object = None) -> None: ...


def accept_without_auth(*args: object) -> None:
    """As a handler that a decorator hides: python-socketio tries out both of its signatures."""
    (lambda sid, environ: None)(*args)  # type: ignore[arg-type]


def accept_nothing() -> None: ...


def refuse(sid: str, environ: object, auth: object) -> bool:
    return False


async def refuse_by_error(sid: str, environ: object, auth: object) -> None:
    raise Refused("not you")


async def fail_to_connect(sid: str, environ: object, auth: object) -> None:
    raise LookupError("on purpose")


def mistake(sid: str, environ: object, auth: object = None) -> None:
    raise TypeError("of the handler's own")


def no_handler() -> None: ...


CONNECT_HANDLERS = (*(accept, accept_without_auth, accept_nothing, refuse, refuse_by_error, fail_to_connect, mistake),)


class Chat(socketio.AsyncNamespace):
    async def on_connect(self, sid: str, environ: object) -> None:
        await self.enter_room(sid, "lobby")

    async def on_say(self, sid: str, text: object) -> None:
        await self.emit("said", text, room="lobby")

    async def on_fail(self, sid: str) -> None:
        await fail(sid)

    async def on_disconnect(self, sid: str) -> None:
        await fail(sid)


def with_handlers(server: Any) -> Any:
    for handler in EVENT_HANDLERS:
        server.on(handler.__name__, handler)
    for connecting in CONNECT_HANDLERS:
        server.on("connect", connecting, namespace=f"/{connecting.__name__}")
    server.register_namespace(Chat("/chat"))

    async def ask_back(sid: str, *args: object) -> object:
        return await server.call("question", to=sid, timeout=PATIENCE_S)

    async def ask_in_vain(sid: str, *args: object) -> None:
        await server.call("nobody_answers", to=sid, timeout=0)

    async def leave(sid: str, *args: object) -> None:
        await server.disconnect(sid)

    for asking in (ask_back, ask_in_vain, leave):
        server.on(asking.__name__, asking)
    return server


# The clients.


class WebSocketClient:
    """Speaks Engine.IO by a WebSocket."""

    def __init__(self, connection: socket.socket, received: bytes) -> None:
        self.connection = connection
        # What is said in two parts comes at once.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = received.partition(b"\r\n\r\n")[2]

    async def say(self, *packets: str | bytes) -> None:
        frames = [frame(1, one.encode()) if isinstance(one, str) else frame(2, one) for one in packets]
        await asyncio.get_running_loop().sock_sendall(self.connection, b"".join(frames))

    async def hear(self) -> str:
        """Return the next packet that is text; the server's frames are short, and have no mask."""
        while True:
            opcode, length = await self._take(2)
            if length == 126:
                length = int.from_bytes(await self._take(2))
            payload = await self._take(length)
            if opcode & 15 == 1:
                return payload.decode()
            if opcode & 15 == 8:
                return CLOSED

    async def _take(self, length: int) -> bytes:
        loop = asyncio.get_running_loop()
        while len(self._received) < length:
            some = await asyncio.wait_for(loop.sock_recv(self.connection, 65536), PATIENCE_S)
            if not some:
                raise ConnectionError
            self._received += some
        taken, self._received = self._received[:length], self._received[length:]
        return taken

    async def close(self) -> None:
        # Where the client has left all namespaces, the server may be first.
        with suppress(ConnectionError):
            await self.say(CLOSED)

    async def lose(self) -> None:
        self.connection.close()


class PollingClient:
    """Speaks Engine.IO by polling."""

    sid = ""

    def __init__(self, port: int) -> None:
        self._port = port
        self._heard: list[str] = []

    @property
    def path(self) -> str:
        return f"{PATH}&transport=polling{self.sid and '&sid='}{self.sid}"

    async def say(self, *packets: str | bytes) -> None:
        said = [one if isinstance(one, str) else f"b{base64.b64encode(one).decode()}" for one in packets]
        # More of them are refused.
        for some in (said[at : at + 16] for at in range(0, len(said), 16)):
            await ask(self._port, request(f"POST {self.path}", LAST, body=SEPARATOR.join(some)))

    async def hear(self) -> str:
        while not self._heard:
            answer = await ask(self._port, request(f"GET {self.path}", LAST))
            # In one chunk.
            self._heard = answer.partition(b"\r\n\r\n")[2].split(b"\r\n")[1].decode().split(SEPARATOR)
        return self._heard.pop(0)

    async def close(self) -> None:
        await self.say(CLOSED)
        # Which Engine.IO takes note of when the next one comes.
        await ask(self._port, request(f"GET {self.path}", LAST))

    async def lose(self) -> None:
        """Poll no more."""


Client = WebSocketClient | PollingClient


@asynccontextmanager
async def by_polling(port: int) -> AsyncIterator[Client]:
    client = PollingClient(port)
    client.sid = json.loads((await client.hear())[1:])["sid"]
    yield client


@asynccontextmanager
async def by_websocket(port: int) -> AsyncIterator[Client]:
    async with upgraded(f"{PATH}&transport=websocket", port) as opened:
        client = WebSocketClient(*opened)
        await client.hear()
        yield client


@asynccontextmanager
async def by_upgrade(port: int) -> AsyncIterator[Client]:
    """Begin by polling, and go on by a WebSocket, as clients do who are not told otherwise."""
    async with by_polling(port) as polling:
        assert isinstance(polling, PollingClient)
        async with upgraded(f"{PATH}&transport=websocket&sid={polling.sid}", port) as opened:
            client = WebSocketClient(*opened)
            await client.say(f"{PING}probe", "5")
            await until(client, f"{PONG}probe")
            yield client


TRANSPORTS: dict[str, Callable[[int], AbstractAsyncContextManager[Client]]] = {
    one.__name__: one for one in (by_polling, by_websocket, by_upgrade)
}


async def until(client: Client, beginning: str) -> None:
    """Read until a packet comes that begins so; a server that asks something is answered."""
    while not (packet := await client.hear()).startswith(beginning):
        if packet.endswith('["question"]'):
            await client.say(f'43{packet[2:].partition("[")[0]}["an answer"]')


# What a client does.


async def calls(client: Client, with_ack: bool = False) -> None:
    """Call each event many times, and wait for the answer to a last one."""
    await client.say("40")
    await until(client, "40{")
    for handler in EVENT_HANDLERS:
        event = handler.__name__
        await client.say(*(f'42{number if with_ack else ""}["{event}","hello"]' for number in range(CALLS)))
    await is_answered(client)
    await client.close()


async def is_answered(client: Client) -> None:
    """Wait until the server has done what it was asked for."""
    await client.say('42999["echo_at_once"]')
    await until(client, "43999")


async def is_asked_back(client: Client) -> None:
    await client.say("40")
    await until(client, "40{")
    for number in range(TIMES):
        await client.say(f'42{number}["ask_back"]', '42["ask_in_vain"]')
        await until(client, f"43{number}")
    await client.close()


async def sends_binary(client: Client) -> None:
    await client.say("40")
    await until(client, "40")
    for number in range(TIMES):
        await client.say(f'451-{number}["echo",{{"_placeholder":true,"num":0}}]', b"binary")
        await until(client, f"461-{number}")
    await client.close()


async def connects(client: Client, auth: str = "") -> None:
    """Connect to every namespace, whatever comes of it, and to one that does not exist."""
    await client.say(*(f"40/{handler.__name__},{auth}" for handler in (*CONNECT_HANDLERS, no_handler)), "40")
    await until(client, "40{")
    await is_answered(client)
    await client.close()


async def chats(client: Client) -> None:
    await client.say("40/chat,")
    await until(client, "40/chat")
    await client.say(*['42/chat,["say","hello"]', '42/chat,["fail"]', '42/chat,["unknown"]'] * TIMES)
    await until(client, "42/chat")
    # Its handler raises.
    await client.say("41/chat,")
    await client.close()


async def disconnects(client: Client) -> None:
    await client.say("40", "40/accept,")
    await until(client, "40{")
    await client.say("41")
    await client.close()


async def is_disconnected(client: Client) -> None:
    await client.say("40")
    await until(client, "40{")
    await client.say('42["leave"]')
    await until(client, "41")
    await client.close()


async def talks_nonsense(client: Client) -> None:
    await client.say("40")
    await until(client, "40{")
    await client.say('42["unknown"]', '42[["a","list"],{}]', "42{}", "4nonsense", "49", '42/chat,["say"]', "44")
    await is_answered(client)
    await client.close()


async def is_lost(client: Client) -> None:
    await client.say("40", "40/accept,")
    await until(client, "40/accept,")
    await client.lose()


async def is_lost_while_it_is_asked(client: Client) -> None:
    await client.say("40")
    await until(client, "40{")
    await client.say('421["ask_back"]')
    while not (await client.hear()).endswith('["question"]'):
        pass
    await client.lose()


DOINGS: dict[str, Callable[[Client], Awaitable[None]]] = {
    "calls_with_ack": partial(calls, with_ack=True),
    "connects_with_auth": partial(connects, auth="{}"),
    **{
        one.__name__: one
        for one in (
            *(calls, connects, is_asked_back, sends_binary, chats, disconnects, is_disconnected, talks_nonsense),
            *(is_lost, is_lost_while_it_is_asked),
        )
    },
}


async def serve(server: Any, app: Any, transport: str) -> dict[str, list[object]]:
    async def come(port: int, what: Callable[[Client], Awaitable[None]]) -> None:
        async with TRANSPORTS[transport](port) as client:
            await what(client)
        async with asyncio.timeout(PATIENCE_S):
            # Closed ones stay there until somebody asks for them.
            # Engine.IO tells nobody.
            while not all(one.closed for one in server.eio.sockets.values()):  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        await settle()

    found = {}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        async with SERVERS["httptools"](app, listener, "httptools"):
            with freezing():
                for name, what in DOINGS.items():
                    # Of a client that polled and has gone Engine.IO learns when its next ping is not answered.
                    if transport == "by_polling" and what in (is_lost, is_lost_while_it_is_asked):
                        continue
                    await come(port, what)  # What is made once.
                    with collected() as found[name]:
                        await come(port, what)
    return found


OPTIONS: dict[str, Any] = {
    "async_mode": "asgi",
    "monitor_clients": False,
    # A client here answers no ping, and a busy machine takes its time.
    "ping_interval": 100 * PATIENCE_S,
    # Its own one writes to standard error.
    "engineio_logger": logging.getLogger("tests.garbage"),
}


@cache
def left_by_upstream(transport: str) -> Mapping[str, int]:
    """Return how many objects each doing leaves without the library."""
    with nobody_keeping_lines():
        server = with_handlers(socketio.AsyncServer(**OPTIONS))
        left = asyncio.run(serve(server, socketio.ASGIApp(server), transport))
    return {name: len(found) for name, found in left.items()}


class Forgetful(SpanExporter):
    """An exporter that keeps nothing."""

    def export(self, spans: object) -> SpanExportResult:
        return SpanExportResult.SUCCESS


FLAGS = {
    "default": {},
    "all": {
        "OBS_TRACING_ENABLED": "true",
        "OBS_SOCKETIO_ACK_ERRORS": "true",
        "OBS_SOCKETIO_EMIT_SPANS": "true",
        "OBS_SOCKETIO_CLIENT_TRACES": "true",
        "OBS_SOCKETIO_ROOM_SIZES": "true",
    },
}


# What stands for the server in a client's environ, and what it holds: Engine.IO leaves that in a circle of its own.
IN_THE_ENVIRON = {
    *("Channel", "method of Channel.receive", "method of Channel.send", "RedactedRequest", "RequestRecord"),
    *("WebSocketReceive", "MeasuredRequest", "WaitTimes"),
}
if sys.version_info >= (3, 12):
    # Engine.IO's handler of a WebSocket keeps the task that has read from it, and with its exception itself; since
    # Python 3.12 the frames below a frame that is kept are kept as well, with what they hold.
    IN_THE_ENVIRON |= {
        *(
            "Handshake",
            "method of RequestRecord._leave_flight",
            "method of MeasuredRequest._leave_flight",
            "frame of ObservedAsyncServer.handle_request",
        ),
        *(f"frame of {name}Middleware.__call__" for name in ("Ops", "Record", "Context")),
        *("frame of Stack.__call__", "coroutine of OpsMiddleware.__call__"),
    }
# Where a handler of a disconnect raises, Engine.IO goes on otherwise than where the client is cleaned up after.
FAILS_TO_LEAVE = "chats"


@pytest.mark.parametrize(
    ("transport", "flags"), [("by_polling", "default"), ("by_websocket", "default"), ("by_upgrade", "all")]
)
def test_nothing_of_an_event_waits_for_the_garbage_collector(transport: str, flags: str) -> None:
    """Whatever a client does, nothing of the library's is left, and no more for each event than without it."""
    bare = left_by_upstream(transport)
    observed = Observed(FLAGS[flags], span_exporter=Forgetful()) if flags == "all" else Observed()
    with nobody_keeping_lines():
        observed.obs.log.install()
        server = with_handlers(obs.socketio_ext.ObservedAsyncServer(obs=observed.obs, **OPTIONS))
        left = asyncio.run(serve(server, obs.build_stack(socketio.ASGIApp(server), observed.obs), transport))
    assert {name: kinds for name, found in left.items() if (kinds := set(ours(found)) - IN_THE_ENVIRON)} == {}
    if transport == "by_polling":
        return  # Every request has such an environ, and how many requests it takes is a matter of timing.
    more = {name: len(found) - bare[name] for name, found in left.items() if name != FAILS_TO_LEAVE}
    assert {name: number for name, number in more.items() if number >= 2 * CALLS} == {}


def test_no_thread_outlives_the_event_loop() -> None:
    """Not the one that writes lines either, where no lifespan comes to the stack."""
    observed = Observed()
    before = set(threading.enumerate())

    async def serve_and_log() -> None:
        server = with_handlers(obs.socketio_ext.ObservedAsyncServer(obs=observed.obs, **OPTIONS))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port, app = listener.getsockname()[1], socketio.ASGIApp(server)
            async with SERVERS["httptools"](app, listener, "httptools"), by_websocket(port) as client:
                await calls(client)
        # As it does for every line that is written at this moment.
        observed.obs.log.sink.put(b"{}", logging.INFO)

    with nobody_keeping_lines():
        asyncio.run(serve_and_log())
    # A worker of anyio's may be on its way out.
    assert {one.name for one in set(threading.enumerate()) - before if one.name.startswith("divan-obs")} == set()
