"""One exception is one ERROR line, under the real commands."""

from __future__ import annotations

import time
from typing import Any

import granian  # noqa: F401 - started as a command
import httpx
import pytest

from tests.patience import PATIENCE_S
from tests.servers.command import Command

pytestmark = pytest.mark.slow

APP = """
import asyncio, gc, logging
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route
import divan_obs_asgi as obs

async def raises(request):
    raise LookupError("no such thing")

async def groups(request):
    raise ExceptionGroup("several", [LookupError("a"), KeyError("b")])

async def broken(request):
    async def parts():
        yield b"some"
        raise LookupError("in the middle")
    return StreamingResponse(parts())

async def background(request):
    async def fail():
        raise LookupError("afterwards")
    return PlainTextResponse("done", background=BackgroundTask(fail))

async def forgotten(request):
    async def fail():
        raise LookupError("in a task")
    task = asyncio.create_task(fail())
    await asyncio.wait([task])
    del task
    gc.collect()
    return PlainTextResponse("done")

async def logs(request):
    try:
        await raises(request)
    except LookupError:
        logging.getLogger("shop").exception("it failed")
        raise

SHARED = KeyError("of the module")

async def shared(request):
    raise SHARED

async def again(request):
    async def job():
        raise SHARED
    task = asyncio.create_task(job())
    await asyncio.wait([task])
    del task
    gc.collect()
    return PlainTextResponse("done")

async def end(request):
    logging.getLogger("shop").warning("the end")
    return PlainTextResponse("done")

handlers = [raises, groups, broken, background, forgotten, logs, shared, again, end]
app = Starlette(routes=[Route("/" + handler.__name__, handler) for handler in handlers])

async def passing(request, call_next):
    return await call_next(request)

app.add_middleware(BaseHTTPMiddleware, dispatch=passing)

obs.init(app)
"""
FLAGS = {"OBS_ENV": "dev", "LOG_SLOW_MS": "0"}


def ask(command: Command, path: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            httpx.get(f"{command.url}{path}", timeout=PATIENCE_S)
            return
        except httpx.ConnectError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        except httpx.TransportError:
            return  # A response that broke off.


def errors(command: Command) -> list[dict[str, Any]]:
    command.line("the end")
    return [line for line in command.lines() if line["level"] in ("ERROR", "CRITICAL")]


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn", "granian", "daphne"])
def test_one_exception_is_one_line(server: str) -> None:
    """Ours, with the ids of the request; the server's, asyncio's and Starlette's second one is left out."""
    command = Command(APP, server, "app", env=FLAGS)
    try:
        command.start()
        for path in ("/raises", "/groups", "/broken", "/background", "/forgotten", "/shared", "/again"):
            ask(command, path)
        ask(command, "/end")
        command.stop()
        told = [(line["route"], line["error"]["type"]) for line in errors(command)]
        assert sorted(told, key=str) == sorted(
            [
                ("/raises", "LookupError"),
                ("/groups", "ExceptionGroup"),
                ("/broken", "LookupError"),
                ("/background", "LookupError"),
                ("/forgotten", "LookupError"),
                ("/shared", "KeyError"),
                # A task's: one object is raised by both.
                ("/again", "KeyError"),
            ],
            key=str,
        )
        assert "Traceback" not in "".join(line for line in command.log if not line.startswith("{"))
    finally:
        command.close()


@pytest.mark.parametrize("server", ["uvicorn"])
def test_a_line_of_the_application_about_it_has_the_same_fingerprint(server: str) -> None:
    """So the README's jq, which reads access lines, counts the failure once, and any other can by fingerprint."""
    command = Command(APP, server, "app", env=FLAGS)
    try:
        command.start()
        ask(command, "/logs")
        ask(command, "/end")
        own, access = errors(command)
        assert (own["logger"], access["logger"]) == ("shop", "divan_obs_asgi.access")
        assert own["error"]["fingerprint"] == access["error"]["fingerprint"]
        assert own["request_id"] == access["request_id"]
    finally:
        command.close()


@pytest.mark.parametrize("server", ["uvicorn", "granian"])
def test_an_exception_without_a_line_of_ours_is_the_servers(server: str) -> None:
    """Nothing is lost that nobody else has logged."""
    command = Command(APP, server, "app", env={**FLAGS, "OBS_ACCESS_LOG_ENABLED": "false"})
    try:
        command.start()
        ask(command, "/raises")
        ask(command, "/end")
        (line,) = errors(command)
        assert line["error"]["type"] == "LookupError"
    finally:
        command.close()
