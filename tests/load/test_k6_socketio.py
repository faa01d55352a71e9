"""The Socket.IO client of ops_assets/k6, run by k6 against a real python-socketio server."""

# python-socketio is not annotated, and its methods are called on its subclasses here.
# mypy: allow-untyped-calls

from __future__ import annotations

import asyncio
import logging
import re
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import socketio

from benchmarks.load.scripts import program
from tests.patience import PATIENCE_S
from tests.servers.asgi import serve

SCRIPT = Path(__file__).with_name("socketio_client.js")


class Pongs(logging.Handler):
    """Counts what Engine.IO logs of each answer to a ping."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += "Received packet PONG" in record.getMessage()


class ChatNamespace(socketio.AsyncNamespace):
    """What the script calls, and how its connections end."""

    def __init__(self, pongs: Pongs) -> None:
        super().__init__("/chat")
        self._pongs = pongs
        self.ends: list[str] = []

    async def on_connect(self, sid: str, environ: object, auth: Any) -> None:
        if auth != {"token": "good"}:
            raise socketio.exceptions.ConnectionRefusedError("Only the good.", 7)

    async def on_disconnect(self, sid: str, reason: str) -> None:
        self.ends.append(reason)

    async def on_echo(self, sid: str, data: object) -> object:
        return data

    async def on_several(self, sid: str, one: object, other: object) -> tuple[object, object]:
        return other, one

    async def on_nothing(self, sid: str) -> None:
        """Acknowledged with no value."""

    async def on_say(self, sid: str, *args: object) -> None:
        async def acknowledged(answer: object) -> None:
            await self.emit("acknowledged", answer, to=sid)

        await self.emit("message", tuple(args), to=sid, callback=acknowledged)

    async def on_after_pings(self, sid: str, count: int) -> str:
        wanted = self._pongs.count + count
        async with asyncio.timeout(PATIENCE_S):
            while self._pongs.count < wanted:  # noqa: ASYNC110 - a log line sets no event
                await asyncio.sleep(0.02)
        return "pinged"


def server_of(pongs: Pongs) -> tuple[socketio.AsyncServer, ChatNamespace]:
    logger = logging.Logger("engineio of this test", logging.INFO)
    logger.addHandler(pongs)
    server = socketio.AsyncServer(async_mode="asgi", ping_interval=0.1, ping_timeout=PATIENCE_S, engineio_logger=logger)
    chat = ChatNamespace(pongs)
    server.register_namespace(chat)

    @server.event  # type: ignore[untyped-decorator]
    async def where(sid: str) -> str:
        return "/"

    @server.event  # type: ignore[untyped-decorator]
    async def drop_me(sid: str) -> None:
        await server.disconnect(sid)

    return server, chat


def test_the_client_speaks_socket_io() -> None:
    """It connects with auth, emits, calls, hears and acknowledges events, answers pings, is refused, and leaves."""
    server, chat = server_of(Pongs())
    with serve(socketio.ASGIApp(server)) as serving:
        ran = subprocess.run(
            [
                *(program(), "run", "--quiet", "--no-color", "--no-usage-report", "--address", "127.0.0.1:0"),
                *("-e", f"BASE_URL={serving.url}", "-e", f"SCRIPTS={files('divan_obs_asgi.ops_assets') / 'k6'}"),
                str(SCRIPT),
            ],
            capture_output=True,
            text=True,
            timeout=4 * PATIENCE_S,
            check=False,
        )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    # As many as there are in the script: an exception in it would fail no check.
    checks = len(re.findall(r"'[^']+': \(", SCRIPT.read_text()))
    assert f"100.00% {checks} out of {checks}" in ran.stdout, ran.stdout
    assert chat.ends == ["client disconnect"]
