"""Everything that real servers and frameworks write: each event once, as JSON, and without a secret."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

# What is started: tests/conftest.py leaves this file out where one of them is missing.
import daphne  # noqa: F401
import granian  # noqa: F401
import httpx
import litestar  # noqa: F401
import pytest
import socketio  # noqa: F401
import websockets.exceptions
from websockets.sync.client import connect

from tests.patience import PATIENCE_S
from tests.servers.command import Command
from tests.servers.process import STOP_TIMEOUT_S

pytestmark = pytest.mark.slow

TOKEN, EMAIL = "ghp_s3rv3dS3rv3dS3rv3dS3rv3dS3rv3dS3rv3d", "ada@shop.example"
EVENT, REDACTED = f"to {EMAIL}", "to [redacted:email]"

APP = f"""
import logging, logging.config, os
import socketio
import divan_obs_asgi as obs

log = logging.getLogger("shop")
FAILURE = "{EMAIL} has {TOKEN}"
CONSOLE = {{"handlers": {{"c": {{"class": "logging.StreamHandler"}}}}, "root": {{"handlers": ["c"], "level": "INFO"}}}}

async def shop(scope, receive, send):
    if scope["type"] == "lifespan":
        if os.environ.get("CONFIGURES"):
            logging.config.dictConfig({{"version": 1, **CONSOLE}})
            log.disabled = False
        await receive()
        await send({{"type": "lifespan.startup.complete"}})
        await receive()
        await send({{"type": "lifespan.shutdown.complete"}})
        return
    if scope["type"] == "websocket":
        await receive()
        await send({{"type": "websocket.accept"}})
        raise LookupError(FAILURE)
    if scope["path"].startswith("/configure"):
        logging.basicConfig(force=True)
    log.warning("{EVENT}")
    if scope["path"].startswith("/fail"):
        raise LookupError(FAILURE)
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": b"sold"}})

sio = socketio.AsyncServer(async_mode="asgi")

@sio.event
async def connect(sid, environ):
    raise LookupError(FAILURE)

app = obs.wrap(socketio.ASGIApp(sio, shop))
log.warning("imported")
"""
LITESTAR = f"""
import logging
from litestar import Litestar, get
import divan_obs_asgi as obs

log = logging.getLogger("shop")

@get("/sell/{{token:str}}")
async def sell(token: str) -> str:
    log.warning("{EVENT}")
    return "sold"

@get("/fail/{{token:str}}")
async def fail(token: str) -> str:
    log.warning("{EVENT}")
    raise LookupError("{EMAIL} has {TOKEN}")

app = obs.wrap(Litestar([sell, fail], debug=True))
log.warning("imported")
"""
# Lines of a parent process that does not import the application; nothing of a request is in them.
GUNICORN = re.compile(r"\[[-\d]+ [:\d]+ \+0000\] \[\d+\] \[INFO\] \w")
ACCESS = {"uvicorn.access", "hypercorn.access", "gunicorn.access", "granian.access", "django.channels.server"}


class Served(Command):
    """A command that has started when it has imported the application."""

    ready_line = re.compile('"imported"')

    def plain(self) -> list[str]:
        """Return the lines that are not JSON."""
        return [line for line in self.log if not line.startswith("{")]


@contextmanager
def served(code: str, server: str, *options: str, **env: str) -> Iterator[Served]:
    """Serve, and give up what was written when the server has ended."""
    command = Served(code, server, "app", *options, env={"OBS_METRICS_PUBLIC": "true", **env})
    try:
        command.start()
        deadline = time.monotonic() + PATIENCE_S
        while True:
            with suppress(httpx.TransportError):
                httpx.get(f"{command.url}/health/live", timeout=PATIENCE_S)
                break
            assert time.monotonic() < deadline, "\n".join(command.log)
            time.sleep(0.05)
        yield command
        command.process.terminate()
        command.process.wait(STOP_TIMEOUT_S)
        assert command.ended.wait(STOP_TIMEOUT_S)
    finally:
        command.close()


def get(command: Served, path: str, **params: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {TOKEN}", "X-Mail": EMAIL}
    return httpx.get(f"{command.url}{path}", params=params, headers=headers, timeout=PATIENCE_S)


def use(command: Served) -> int:
    """Send a secret in every way, and have it raised; return how many requests have logged a line of their own."""
    assert get(command, f"/sell/{TOKEN}", token=TOKEN, mail=EMAIL).status_code == 200
    assert get(command, f"/fail/{TOKEN}", token=TOKEN).status_code == 500
    with (
        suppress(websockets.exceptions.WebSocketException),
        connect(f"ws://{command.host}:{command.port}/ws/{TOKEN}?token={TOKEN}") as socket,
    ):
        socket.recv(PATIENCE_S)
    return 2


def use_socketio(command: Served) -> None:
    """Have a connect handler raise."""
    url = f"{command.url}/socket.io/?EIO=4&transport=polling"
    opened = httpx.get(url, timeout=PATIENCE_S)
    session: dict[str, Any] = json.loads(opened.text[1:])
    assert httpx.post(f"{url}&sid={session['sid']}", content="40", timeout=PATIENCE_S).status_code == 200


def check_startup(command: Served) -> None:
    assert get(command, "/health/startup").json()["checks"]["redaction"]["ok"] is True


def check_lines(command: Served, events: int) -> None:
    """No secret, no access line of a server, and each event of the application once."""
    text = "\n".join(command.log)
    assert TOKEN not in text
    assert EMAIL not in text
    assert command.messages().count(REDACTED) == events
    assert not {line["logger"] for line in command.lines()} & ACCESS
    ours = [line for line in command.lines() if line["logger"] == "divan_obs_asgi.access" and line["status"] == 200]
    assert len({line["request_id"] for line in ours}) == len(ours)


SERVERS = {
    "uvicorn": ("uvicorn",),
    "hypercorn": ("hypercorn", "--access-logfile", "-"),
    "hypercorn-trio": ("hypercorn", "--access-logfile", "-", "--worker-class", "trio"),
    "granian": ("granian", "--interface", "asgi", "--access-log", "--log-level", "warning"),
    "daphne": ("daphne", "-v", "0"),
    "gunicorn": ("gunicorn", "--worker-class", "uvicorn_worker.UvicornWorker", "--access-logfile", "-"),
}


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_writes_each_event_once_and_no_secret(name: str) -> None:
    """As its own command, with the options that docs/logs.md names; both streams are read."""
    server, *options = SERVERS[name]
    with served(APP, server, *options) as command:
        events = use(command)
        if name != "hypercorn-trio":  # Engine.IO needs asyncio.
            use_socketio(command)
        check_startup(command)
    check_lines(command, events)
    plain = command.plain()
    assert plain == [line for line in plain if server == "gunicorn" and GUNICORN.match(line)]
    if name != "hypercorn-trio":
        assert any(line["logger"] == "engineio.server" for line in command.lines())


def test_logging_that_is_configured_again_stays_redacted() -> None:
    """In the lifespan by `dictConfig` as it is by default, and in a request by `basicConfig(force=True)`."""
    with served(APP, "uvicorn", CONFIGURES="1") as command:
        events = use(command)
        assert get(command, "/configure").status_code == 200
        check_startup(command)
        assert "divan_log_handler_removed_total 2.0" in get(command, "/metrics").text
    check_lines(command, events + 1)
    assert command.plain() == []


def test_litestars_own_configuration_writes_no_second_copy() -> None:
    """A queue, a thread and a handler for standard error behind it, in one of its versions or another."""
    with served(LITESTAR, "uvicorn") as command:
        events = use(command)
        check_startup(command)
    check_lines(command, events)
    assert command.plain() == []
