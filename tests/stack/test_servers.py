"""What the tests' own servers promise."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tests.patience import PATIENCE_S
from tests.servers.asgi import serve
from tests.servers.postgres import PostgresServer
from tests.servers.process import missing, program
from tests.servers.redis import RedisServer


def ask(port: int, question: bytes, timeout_s: float = 5.0) -> bytes:
    """Return the first bytes that a server on this port answers."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
        connection.sendall(question)
        return connection.recv(100)


PING = b"*1\r\n$4\r\nPING\r\n"
# PostgreSQL's SSLRequest (length 8, code 80877103); a server without TLS answers the single byte N.
SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"


@pytest.mark.slow
def test_redis_answers_again_after_a_crash(redis_server: RedisServer) -> None:
    """A test may kill the server in the middle and have it back on the same port."""
    url = redis_server.url
    assert ask(redis_server.port, PING) == b"+PONG\r\n"
    with redis_server.down(), pytest.raises(ConnectionRefusedError):
        ask(redis_server.port, PING)
    assert ask(redis_server.port, PING) == b"+PONG\r\n"
    assert redis_server.url == url


def test_a_paused_redis_hangs(redis_server: RedisServer) -> None:
    """A server that accepts and does not answer differs from one that is not there."""
    with redis_server.paused(), pytest.raises(TimeoutError):
        ask(redis_server.port, PING, timeout_s=0.02)
    assert ask(redis_server.port, PING) == b"+PONG\r\n"


def test_redis_listens_on_the_loopback_interface_only(redis_server: RedisServer) -> None:
    """Nobody else on the network can reach a test's server, not even over another loopback address."""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", redis_server.port), timeout=PATIENCE_S)


@pytest.mark.slow
def test_postgres_answers_again_after_a_stop_and_after_a_crash(postgres_server: PostgresServer) -> None:
    """A test may stop or kill the server in the middle and have it back on the same port."""
    postgres_server.stop()
    with pytest.raises(ConnectionRefusedError):
        ask(postgres_server.port, SSL_REQUEST)
    postgres_server.start()
    with postgres_server.down(), pytest.raises(ConnectionRefusedError):
        ask(postgres_server.port, SSL_REQUEST)
    assert ask(postgres_server.port, SSL_REQUEST) == b"N"


def test_a_paused_postgres_hangs(postgres_server: PostgresServer) -> None:
    """That holds for connections made before as well: a pool's idle ones hang with the server."""
    with socket.create_connection(("127.0.0.1", postgres_server.port), timeout=0.02) as connection:
        connection.sendall(SSL_REQUEST)
        connection.settimeout(5)
        assert connection.recv(1) == b"N"
        connection.settimeout(0.02)
        with postgres_server.paused():
            connection.sendall(SSL_REQUEST)
            with pytest.raises(TimeoutError):
                connection.recv(1)
            with pytest.raises(TimeoutError):
                ask(postgres_server.port, SSL_REQUEST, timeout_s=0.02)
    assert ask(postgres_server.port, SSL_REQUEST) == b"N"


@pytest.mark.slow
def test_a_server_ends_with_a_killed_session(redis_server: RedisServer) -> None:
    """Not even `kill -9` of pytest leaves a server or its directory behind."""
    script = """if True:
        from tests.servers.redis import RedisServer
        server = RedisServer().start()
        print(server.port, server._leash.pid, server.directory, flush=True)
        input()
    """
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as session:
        assert session.stdout is not None
        port, leash, directory = session.stdout.readline().split()
        leash_end = os.pidfd_open(int(leash))
        with socket.create_connection(("127.0.0.1", int(port)), timeout=30) as connection:
            connection.sendall(PING)
            assert connection.recv(100) == b"+PONG\r\n"
            session.send_signal(signal.SIGKILL)
            assert connection.recv(1) == b""
    # The leash ends last, after the directory.
    assert select.select([leash_end], [], [], 30)[0] == [leash_end]
    os.close(leash_end)
    assert not Path(directory).exists()


def test_a_missing_server_skips_and_fails_under_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who lacks a server reads which package brings it; CI never passes by leaving tests out."""
    monkeypatch.setenv("CI", "")
    with pytest.raises(pytest.skip.Exception, match=r"nosuch is not installed \(on Debian: apt-get install x\)"):
        program("nosuch", package="x")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no server; it is required under CI=true"):
        missing("no server")


def test_uvicorn_serves_an_app_of_the_test() -> None:
    """The app answers as soon as the block is entered, and its lifespan has ended when it is left."""
    ended: list[str] = []

    async def home(request: Request) -> PlainTextResponse:
        return PlainTextResponse("served")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        ended.append("shutdown")

    app = Starlette(routes=[Route("/", home)], lifespan=lifespan)
    with serve(app) as serving:
        assert httpx.get(serving.url).text == "served"
    assert ended == ["shutdown"]
    with pytest.raises(httpx.ConnectError):
        httpx.get(serving.url)


def test_uvicorn_that_cannot_start_says_so() -> None:
    """A failing lifespan is an error of the test and not a wait for its end."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no"})

    with pytest.raises(RuntimeError, match="uvicorn did not start"), serve(app):
        raise AssertionError("it must not get here")
