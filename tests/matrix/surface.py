"""What every application of the matrix does, and the secrets that none of its processes may write."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import anyio

#: Each stands in one place only, so that a secret that is written says how it got there.
SECRETS = {
    "path": "canary-in-the-path",
    "query": "canary-in-the-query",
    "header": "canary-in-a-header",
    "log line": "canary.log@example.org",
    "exception": "canary.exception@example.org",
    "exception, by key": "canary-in-a-password",
    "WebSocket path": "canary-in-a-websocket-path",
    "WebSocket message": "canary-in-a-websocket-message",
    "WebSocket exception": "canary.websocket@example.org",
}
LOGGED = "a room was asked for by %s"
#: The message that a WebSocket, or an event of Socket.IO, fails upon.
FAIL = "fail"

_log = logging.getLogger("shop")


def room() -> str:
    """Answer a request for a room, and log it as a careless application does."""
    _log.info(LOGGED, SECRETS["log line"])
    return "a room"


def fail() -> str:
    raise RuntimeError(f"no mail to {SECRETS['exception']}, password={SECRETS['exception, by key']}")


def echo(message: str) -> str:
    """Return a message of a WebSocket, or fail."""
    if message == FAIL:
        raise LookupError(f"nobody is called {SECRETS['WebSocket exception']}")
    return message


async def wait() -> str:
    """Answer when the test opens the gate, so that a request is in flight for as long as the test wants."""
    folder = Path(os.environ["MATRIX_FOLDER"])
    (folder / "waits").touch()
    # Another process opens it.
    while not (folder / "gate").exists():  # noqa: ASYNC110
        await anyio.sleep(0.02)
    return "waited"


__all__ = ["FAIL", "LOGGED", "SECRETS", "echo", "fail", "room", "wait"]
