"""`divan-obs debug-header`, and a served application that is debugged with it."""

from __future__ import annotations

import os
import subprocess
import sys

import httpx
import pytest

from divan_obs_asgi.connection.debug_header import DebugKey
from tests.servers.command import Command, until

KEY = "correct-horse-battery-41"
SHOP = """
import logging

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import pytest

import divan_obs_asgi as obs

log = logging.getLogger("shop")


def room(request):
    log.debug("looking for a room")
    return PlainTextResponse("x-divan-debug" in request.headers and "seen" or "unseen")


app = Starlette(routes=[Route("/rooms/{room}", room)])
obs.init(app)
"""


def debug_header(**flags: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OBS_")}
    command = [sys.executable, "-m", "divan_obs_asgi", "debug-header"]
    return subprocess.run(command, env={**environ, **flags}, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_command_prints_a_header() -> None:
    """It is an argument of `curl -H`."""
    done = debug_header(OBS_DEBUG_KEY=KEY)
    assert (done.returncode, done.stderr) == (0, "")
    name, value = done.stdout.rstrip("\n").split(": ")
    assert name == "X-Divan-Debug"
    assert DebugKey(KEY).verifies(value.encode())


@pytest.mark.slow
def test_without_a_key_the_command_says_so() -> None:
    done = debug_header()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Error: OBS_DEBUG_KEY is not set; expected the key of the service.\n"


@pytest.mark.slow
def test_a_served_request_is_debugged() -> None:
    """uvicorn's own command, and the header that the command has printed."""
    name, value = debug_header(OBS_DEBUG_KEY=KEY).stdout.rstrip("\n").split(": ")
    env = {"OBS_DEBUG_KEY": KEY, "OBS_ENV": "prod", "OBS_TRACING_ENABLED": "false"}
    command = Command(SHOP, "uvicorn", "app", env=env)
    try:
        command.start()
        plain = httpx.get(f"{command.url}/rooms/1")
        forged = httpx.get(f"{command.url}/rooms/2", headers={name: f"{value}x"})
        debugged = httpx.get(f"{command.url}/rooms/3", headers={name: value})
        audit = "GET /rooms/{room}: 200, for the holder of OBS_DEBUG_KEY at 127.0.0.1."
        until(lambda: audit in command.messages(), command)
        lines = command.lines()
    finally:
        command.close()
    assert [response.text for response in (plain, forged, debugged)] == ["unseen"] * 3
    assert set(plain.headers) == set(forged.headers) == set(debugged.headers)
    (line,) = [line for line in lines if line["msg"] == "looking for a room"]
    assert line["request_id"] == debugged.headers["x-request-id"]
    assert [line.get("debug") for line in lines if line["msg"] == "GET /rooms/{room}"] == [None, None, True]
    assert value not in "\n".join(command.log)
