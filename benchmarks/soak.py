"""
Megabytes of a served application that is sent nothing but invented requests, by their number.

    python -m benchmarks.soak --requests 400000

No two requests are alike: method, path, query, `Host`, ids, trace headers, cookies, tokens and addresses are invented
anew for each. A part of them goes to /metrics, /health and /ops, to handlers that fail, and to a Socket.IO server that
gets sessions, malformed packets and foreign origins. Connections end after at most 100 requests: in order, in the
middle of a request, with bytes that are not HTTP, or as a WebSocket that its client leaves.

Variants: bare; ours (`init`, all flags on, spans sent to a collector that forgets them, lines to a file that forgets
them). Shown is the resident memory of the server's process after each tenth of the requests. It has to be flat in the
second half: the exit code is 1 where it grows by more than a megabyte in 100,000 requests.
"""

from __future__ import annotations

import asyncio
import base64
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations
from operator import length_hint
from pathlib import Path
from statistics import median
from typing import Any, cast

import click
import httptools
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from benchmarks.inprocess import application
from benchmarks.measuring import heading, machine
from benchmarks.served.collector import Collector

NAMES = ("bare", "ours")
PACKAGES = ("uvicorn", "python-socketio", "httptools", "grpcio", "starlette", "prometheus_client", "opentelemetry-sdk")
CONNECTIONS = 16
SOCKET_IO = "/socket.io/?EIO=4&transport=polling&"
PATHS = ("/users/", "/", "/files/", "/fail/", "/ops/", "/metrics?", "/health/ready?verbose=", f"{SOCKET_IO}sid=")
METHODS = ("GET", "POST", "PUT", "DELETE", "PROPFIND", "PURGE", "REPORT")
# Of the requests, how many try to open a session. Engine.IO looks at one session after the other, with a pause between:
# where it has to end many more in a second, sessions pile up in the bare server, too (30 MB in 150,000 requests at 3%).
SESSIONS = 0.003
# Requests of one connection, at most.
PER_CONNECTION = 100
LOOKS = 10
#: Megabytes in 100,000 requests, in the second half.
FLAT_MB = 1.0


def base() -> Starlette:
    """Return an application with what can go wrong in one."""

    async def fail(request: Request) -> Response:
        raise LookupError(request.path_params["word"])

    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        async for text in websocket.iter_text():
            await websocket.send_text(text)

    app = application()
    app.router.routes += [Route("/fail/{word}", fail, methods=[*METHODS]), WebSocketRoute("/talk/{word}", talk)]
    return app


def serve(name: str, collector: str) -> None:
    """Serve one variant on a free port, and say which on standard error."""
    import os
    import socket

    import socketio
    import uvicorn

    app = base()
    # Sessions of clients that have gone end in seconds: there are not more and more of them.
    options: Any = {
        "async_mode": "asgi",
        "ping_interval": 1,
        "ping_timeout": 1,
        "cors_allowed_origins": ["https://good.example"],
    }
    if name == "ours":
        flags = {
            "OBS_ADMIN_TOKEN": "a-token-that-nobody-guesses",
            "OBS_TRACING_ENABLED": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
            "OBS_DRAIN_DELAY_S": "0",
        }
        for flag, value in flags.items():
            os.environ.setdefault(flag, value)
        import divan_obs_asgi as obs

        server: socketio.AsyncServer = obs.socketio_ext.ObservedAsyncServer(obs=obs.init(app), **options)
    else:
        server = socketio.AsyncServer(**options)
    served = socketio.ASGIApp(server, other_asgi_app=app)
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        sys.stderr.write(f"{listener.getsockname()[1]}\n")
        sys.stderr.flush()
        # Nobody reads on; what comes now is not to fill the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        config = uvicorn.Config(served, log_config=None, access_log=False, loop="uvloop", http="httptools")
        uvicorn.Server(config).run([listener])


def invented(chance: random.Random) -> bytes:
    """Return a request that nobody has sent before."""
    word = f"{chance.getrandbits(64):016x}"
    method, path = chance.choice(METHODS), chance.choice(PATHS)
    if chance.random() < SESSIONS:
        path = SOCKET_IO
    body = ""
    if "socket.io" in path:
        method = chance.choice(("GET", "POST", "OPTIONS"))
        body = f'40\x1e42["{word}"\x1e42/{word},["{word}","{word}"]\x1e9{word}' if method == "POST" else ""
    trace = f"00-{chance.getrandbits(128):032x}-{word}-0{chance.randrange(2)}"
    origin = f"origin: https://{word}.example\r\n" if chance.random() < 0.1 else ""
    return (
        f"{method} {path}{word}&token={word}&q={word} HTTP/1.1\r\n"
        f"host: {word}.example.org\r\nuser-agent: {word}\r\nx-request-id: {word}\r\ntraceparent: {trace}\r\n"
        f"tracestate: a{word}=1\r\nauthorization: Bearer {word}\r\ncookie: session={word}\r\nreferer: https://{word}/\r\n"
        f"x-forwarded-for: 10.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(256)}\r\n"
        f"{origin}x-{word}: {word}\r\ncontent-length: {len(body)}\r\n\r\n{body}"
    ).encode()


def handshake(chance: random.Random) -> bytes:
    """Return the request of a WebSocket that nobody has opened before."""
    word, key = f"{chance.getrandbits(64):016x}", base64.b64encode(chance.randbytes(16)).decode()
    return (
        f"GET {chance.choice(('/talk/', '/nowhere/'))}{word}?token={word} HTTP/1.1\r\nhost: {word}.example.org\r\n"
        f"upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n\r\n"
    ).encode()


class Client(asyncio.Protocol):
    """Sends the next invented request as soon as one is answered, and ends the connection in one of several ways."""

    def __init__(self, left: Iterator[int], chance: random.Random) -> None:
        self._left = left
        self._chance = chance
        self._to_send = chance.randrange(1, PER_CONNECTION)
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        self._parser = httptools.HttpResponseParser(self)
        self._send()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._transport.abort()

    def on_message_complete(self) -> None:
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def _send(self) -> None:
        if self._transport.is_closing():
            return
        if next(self._left, None) is None:
            self._transport.close()
            return
        self._to_send -= 1
        if self._to_send > 0:
            self._transport.write(invented(self._chance))
            return
        self._transport.write(handshake(self._chance) if self._chance.random() < 0.5 else invented(self._chance))
        # Half of the last requests are waited for, unless the server has nothing to say for a while.
        way = self._chance.randrange(4)
        if way == 0:
            self._transport.write(b"\0no http at all\r\n\r\n")
        elif way == 1:
            self._transport.abort()
        asyncio.get_running_loop().call_later(1.0, self._transport.abort)


async def send(port: int, requests: int, chance: random.Random) -> None:
    """Send so many requests."""
    left = iter(range(requests))
    loop = asyncio.get_running_loop()

    async def keep_sending() -> None:
        while length_hint(left):
            _, client = await loop.create_connection(lambda: Client(left, chance), "127.0.0.1", port)
            await client.done

    await asyncio.gather(*(keep_sending() for _ in range(CONNECTIONS)))


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 1e6


@contextmanager
def served(name: str, collector: str) -> Iterator[tuple[int, int]]:
    """Serve a variant in a process of its own; gives its process id and port."""
    command = [sys.executable, "-m", "benchmarks.soak", "--serve", name, "--collector", collector]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            yield process.pid, int(process.stderr.readline())
        finally:
            process.terminate()
            process.wait(30)


def measured(name: str, requests: int) -> list[float]:
    """Return the server's megabytes at the start and after each tenth of the requests."""
    chance = random.Random(name)
    collector = Collector()
    with served(name, collector.endpoint) as (pid, port):
        found = [resident_mb(pid)]
        for _ in range(LOOKS):
            uvloop.run(send(port, requests // LOOKS, chance))
            collector.forget()
            found.append(resident_mb(pid))
    return found


def growth_mb(found: list[float], requests: int) -> float:
    """
    Return the megabytes in 100,000 requests by which the second half grew.

    The median of the slopes between any two looks (Theil-Sen): one that falls on a collection of garbage counts little.
    """
    looks = list(enumerate(found))[LOOKS // 2 :]
    slopes = [(later - earlier) / (end - start) for (start, earlier), (end, later) in combinations(looks, 2)]
    return median(slopes) * LOOKS * 1e5 / requests


@click.command(help=__doc__.split("\n\n")[0].strip())
@click.option("--requests", default=400_000, show_default=True, type=click.IntRange(1000))
@click.option("--serve", "name", type=click.Choice(NAMES), hidden=True)
@click.option("--collector", default="", hidden=True)
def main(requests: int, name: str | None, collector: str) -> None:
    """Measure, and print."""
    if name is not None:
        serve(name, collector)
        return
    click.echo("\n".join(heading(machine(PACKAGES), f"{requests:,} requests, {CONNECTIONS} connections")))
    click.echo(f"\n{'variant':8}{'MB at the start, and after each tenth':>{7 * (LOOKS + 1)}}{'in 100,000 more':>18}")
    grew = False
    for variant in NAMES:
        found = measured(variant, requests)
        growth = growth_mb(found, requests)
        grew = grew or growth > FLAT_MB
        click.echo(f"{variant:8}{''.join(f'{mb:7.1f}' for mb in found)}{growth:17.2f}")
    sys.exit(grew)


if __name__ == "__main__":
    main()
