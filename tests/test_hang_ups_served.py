"""A client that leaves before the end of its response, under the real commands."""

from __future__ import annotations

import http.client
import time

import httpx
import pytest

from tests.patience import PATIENCE_S
from tests.servers.command import Command

APP = """
import asyncio, os
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route
import divan_obs_asgi as obs

LEFT = asyncio.Event()

async def slow(request):
    # It never asks whether the client is there, and goes on for a while after that one has left.
    print("waiting", flush=True)
    try:
        while not request.scope["divan_obs_asgi.record"].disconnected:
            await asyncio.sleep(0.01)
        print("noticed", flush=True)
        await asyncio.wait_for(LEFT.wait(), 60)
    except asyncio.CancelledError:
        print("cancelled", flush=True)
        raise
    return PlainTextResponse("done")

async def read_first(request):
    await request.body()
    return await slow(request)

async def stream(request):
    async def parts():
        yield b"first"
        await slow(request)
        yield b"last"
    async def send_all(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        async for part in parts():
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})
    return send_all

async def go_on(request):
    LEFT.set()
    return PlainTextResponse("go on")

app = Starlette(routes=[
    Route("/slow/{id}", slow), Route("/read", read_first, methods=["POST"]), Route("/stream", stream),
    Route("/go_on", go_on),
])
obs.init(app)
"""
FLAGS = {"OBS_ENV": "dev", "OBS_METRICS_PUBLIC": "true", "LOG_SAMPLING_RATE_INFO": "1"}
SERVERS = {
    "uvicorn": ("uvicorn", []),
    "uvicorn h11": ("uvicorn", ["--http", "h11", "--loop", "asyncio"]),
    "hypercorn": ("hypercorn", []),
}


def until(command: Command, line: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while line not in command.log:
        assert time.monotonic() < deadline, "\n".join(command.log)
        time.sleep(0.02)


def leave(command: Command, method: str, path: str, body: bytes | None = None) -> None:
    """Ask, and leave when the application waits."""
    connection = http.client.HTTPConnection(command.host, command.port, timeout=PATIENCE_S)
    connection.request(method, path, body)
    until(command, "waiting")
    connection.close()


def series(command: Command, name: str, *labels: str) -> float:
    page = httpx.get(f"{command.url}/metrics", timeout=PATIENCE_S).text
    found = [line for line in page.splitlines() if line.startswith(f"{name}{{")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in found if all(label in line for label in labels))


EACH = pytest.mark.parametrize("server", SERVERS)


@pytest.mark.parametrize(
    ("method", "path", "route", "status"),
    [("GET", "/slow/1", "/slow/{id}", 0), ("POST", "/read", "/read", 0), ("GET", "/stream", "/stream", 200)],
)
@EACH
def test_a_client_that_has_left_is_no_success(server: str, method: str, path: str, route: str, status: int) -> None:
    """Although the application answers it: line and metrics say that it left, and how long it has waited."""
    name, options = SERVERS[server]
    command = Command(APP, name, "app", *options, env=FLAGS)
    try:
        command.start()
        started = time.monotonic()
        leave(command, method, path, b"body" if method == "POST" else None)
        until(command, "noticed")
        noticed_s = time.monotonic() - started
        httpx.get(f"{command.url}/go_on", timeout=PATIENCE_S)
        line = command.line(f"{method} {route}")
        assert (line["outcome"], line["status"], line["level"]) == ("client_disconnect", status, "INFO")
        # Until it had left, and not until the application answered.
        assert line["latency_ms"] <= noticed_s * 1000
        label = f'route="{route}"'
        assert series(command, "divan_http_outcomes_total", label, 'outcome="client_disconnect"') == 1
        assert series(command, "divan_http_outcomes_total", label, 'outcome="ok"') == 0
    finally:
        command.close()


@pytest.mark.parametrize("flag", ["true", "/read,/slow/{id}"])
@EACH
def test_by_flag_the_application_is_cancelled(server: str, flag: str) -> None:
    """As services wish whose answers are dear to make."""
    name, options = SERVERS[server]
    command = Command(APP, name, "app", *options, env={**FLAGS, "OBS_CANCEL_ON_DISCONNECT": flag})
    try:
        command.start()
        leave(command, "GET", "/slow/1")
        until(command, "cancelled")
        line = command.line("GET /slow/{id}")
        assert (line["outcome"], line["status"]) == ("client_disconnect", 0)
        assert not [line for line in command.lines() if line["level"] == "ERROR"]
    finally:
        command.close()


def test_other_routes_are_not_cancelled() -> None:
    """The flag names those that are."""
    command = Command(APP, "uvicorn", "app", env={**FLAGS, "OBS_CANCEL_ON_DISCONNECT": "/slow/{id}"})
    try:
        command.start()
        leave(command, "POST", "/read", b"body")
        until(command, "noticed")
        httpx.get(f"{command.url}/go_on", timeout=PATIENCE_S)
        command.line("POST /read")
        assert "cancelled" not in command.log
    finally:
        command.close()
