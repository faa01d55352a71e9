"""Applications that cannot start, and such as have no lifespan, under the real servers."""

from __future__ import annotations

import json
import subprocess

import httpx
import pytest

from tests.servers.command import Command
from tests.servers.process import STOP_TIMEOUT_S

pytestmark = pytest.mark.slow

APP = """
import os
from starlette.applications import Starlette
from starlette.middleware import Middleware
import divan_obs_asgi as obs

class Broken:
    def __init__(self, app):
        raise RuntimeError("cannot reach postgres://ada:hunter2-and-more@db/shop")

async def hello(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})

def wrapped(): return obs.wrap(Starlette(middleware=[Middleware(Broken)]))

def in_place():
    app = Starlette(middleware=[Middleware(Broken)])
    obs.init(app)
    return app

def without(): return obs.wrap(hello)

async def gives_up(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})
    else:
        await hello(scope, receive, send)

async def breaks_off(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        raise RuntimeError("cannot reach postgres://ada:hunter2-and-more@db/shop")
    await hello(scope, receive, send)

breaks_off = obs.wrap(breaks_off)
broken_wrap, broken_init, raw, gives_up = wrapped(), in_place(), without(), obs.wrap(gives_up)
"""
CANNOT_START = "The application failed to start; it is not ready."
BROKE_OFF = "The lifespan of the application has failed; the application is no longer ready."


AUTO = [("uvicorn", ["--lifespan", "auto"]), ("hypercorn", [])]


@pytest.mark.parametrize("app", ["broken_wrap", "broken_init"])
@pytest.mark.parametrize(("server", "options"), AUTO, ids=["uvicorn", "hypercorn"])
def test_what_cannot_start_is_logged_and_not_ready(server: str, options: list[str], app: str) -> None:
    """The server serves on, as it does without us: whoever asks for readiness is told, and the log says why."""
    command = Command(APP, server, app, *options)
    try:
        command.start()
        url = f"http://{command.host}:{command.port}"
        assert httpx.get(f"{url}/health/ready", timeout=30).status_code == 503
        assert httpx.get(f"{url}/health/startup", timeout=30).status_code == 503
        assert httpx.get(f"{url}/health/live", timeout=30).status_code == 200
        line = command.line(CANNOT_START)
        assert line["level"] == "ERROR"
        assert line["error"]["type"] == "RuntimeError"
        assert "in __init__" in line["error"]["traceback"]
        assert "hunter2" not in "".join(command.log)
    finally:
        command.close()


@pytest.mark.parametrize("app", ["broken_wrap", "broken_init", "raw"])
def test_a_server_that_insists_on_a_lifespan_ends(app: str) -> None:
    """`uvicorn --lifespan on` exits with 3, as it does without us, and the reason is in the log."""
    command = Command(APP, "uvicorn", app, "--lifespan", "on")
    try:
        done = subprocess.run(
            command.command(), capture_output=True, text=True, timeout=60, check=False, cwd=command.directory
        )
        assert done.returncode == 3, done.stderr
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert "Application startup failed. Exiting." in [line["msg"] for line in lines]
        assert (CANNOT_START in [line["msg"] for line in lines]) is (app != "raw")
        assert "hunter2" not in done.stdout + done.stderr
    finally:
        command.close()


def test_so_it_does_where_the_application_breaks_off_as_soon_as_it_has_started() -> None:
    """uvicorn looks whether the call has failed at the next step of the event loop after `startup.complete`."""
    command = Command(APP, "uvicorn", "breaks_off", "--lifespan", "on")
    try:
        done = subprocess.run(
            command.command(), capture_output=True, text=True, timeout=60, check=False, cwd=command.directory
        )
        assert done.returncode == 3, done.stderr
        assert BROKE_OFF in [json.loads(line)["msg"] for line in done.stdout.splitlines()]
        assert "hunter2" not in done.stdout + done.stderr
    finally:
        command.close()


@pytest.mark.parametrize(("server", "options"), AUTO, ids=["uvicorn", "hypercorn"])
def test_who_serves_on_after_that_is_not_ready(server: str, options: list[str]) -> None:
    """As uvicorn's `auto` and hypercorn do, without us, too."""
    command = Command(APP, server, "breaks_off", *options)
    try:
        command.start()
        url = f"http://{command.host}:{command.port}"
        assert httpx.get(f"{url}/health/ready", timeout=30).status_code == 503
        assert command.line(BROKE_OFF)["error"]["type"] == "RuntimeError"
    finally:
        command.close()


@pytest.mark.parametrize(("server", "status"), [("uvicorn", 3), ("hypercorn", 0)])
def test_a_server_that_is_told_of_a_failed_start_ends(server: str, status: int) -> None:
    """As it does without us: hypercorn looks at once whether the application's call has ended, and served on."""
    command = Command(APP, server, "gives_up")
    try:
        done = subprocess.run(
            command.command(), capture_output=True, text=True, timeout=60, check=False, cwd=command.directory
        )
        assert done.returncode == status
        assert "no database" in done.stdout + done.stderr
        assert CANNOT_START not in done.stdout  # The server has said it.
    finally:
        command.close()


@pytest.mark.parametrize(
    ("server", "options"), [*AUTO, ("uvicorn", ["--lifespan", "off"])], ids=["uvicorn", "hypercorn", "off"]
)
def test_an_application_without_lifespan_is_ready(server: str, options: list[str]) -> None:
    """Nothing is wrong with it. What runs beside it does so all the same, and ends in order."""
    command = Command(APP, server, "raw", *options)
    try:
        command.start()
        url = f"http://{command.host}:{command.port}"
        assert httpx.get(url, timeout=30).text == "hello"
        assert httpx.get(f"{url}/health/ready", timeout=30).json()["status"] == "ok"
        process = command._process
        assert process is not None
        process.terminate()
        if options == ["--lifespan", "auto"]:
            # Somebody asks for readiness: SIGTERM is held back. (hypercorn's parent sends its workers none.)
            command.line("Drain finished; forwarding SIGTERM, with 0 requests and 0 WebSockets in flight.")
        process.wait(STOP_TIMEOUT_S)
        assert command.ended.wait(30)
        assert [line for line in command.lines() if line["level"] in ("ERROR", "CRITICAL")] == []
        # What an event loop says of a task that nobody has ended.
        assert "destroyed" not in "".join(command.log)
    finally:
        command.close()
