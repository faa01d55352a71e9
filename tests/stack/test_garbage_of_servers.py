"""A request is freed when it has ended under servers of their own process, too: granian and daphne."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from contextlib import closing, suppress

import httpx
import pytest

from tests.garbage import request
from tests.patience import PATIENCE_S
from tests.servers.command import Command

pytestmark = [pytest.mark.slow]

TIMES = 5
MIDDLEWARES = ("Context", "RequestId", "Redaction", "Metrics", "AccessLog", "QuietPaths", "Ops")
# The process collects at `/collect` only, and only what was made since the last time.
SERVICE = """
import asyncio, gc, json, logging
import divan_obs_asgi as obs
from tests.garbage import application, ours

running = 0

async def app(scope, receive, send):
    global running
    if scope["type"] == "lifespan":
        raise LookupError("no lifespan")
    if scope["path"] != "/collect":
        running += 1
        try:
            await stack(scope, receive, send)
        finally:
            running -= 1
        return
    while running:
        await asyncio.sleep(0.01)
    for _ in range(50):
        await asyncio.sleep(0)
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(0)
    body = json.dumps(ours(gc.garbage)).encode()
    gc.garbage.clear()
    gc.freeze()
    gc.disable()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})

stack = obs.wrap(application)
"""


async def _leave(port: int, path: str) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(f"GET {path}"))
    await writer.drain()
    await asyncio.sleep(0)
    writer.close()
    await writer.wait_closed()


def _talk(command: Command, ending: str) -> None:
    if ending in LEFT:
        asyncio.run(_leave(command.port, f"/{ending}"))
        return
    # Servers end a broken response in their own ways.
    with suppress(httpx.TransportError):
        httpx.get(f"{command.url}/{ending}", timeout=PATIENCE_S)


# Those after which every server ends its response.
ANSWERED = (
    *("ok", "streaming", "error", "answered_error", "caused_error", "grouped_error"),
    *("background", "failing_background", "outliving"),
)
LEFT = ("client_disconnect", "error_after_disconnect")


@pytest.mark.parametrize("server", ["granian", "daphne"])
@pytest.mark.parametrize("middlewares", [*((one,) for one in MIDDLEWARES), MIDDLEWARES], ids="-".join)
def test_no_request_waits_for_the_garbage_collector(server: str, middlewares: tuple[str, ...]) -> None:
    """However it ends, nothing of the library's is left to the collector."""
    if importlib.util.find_spec(server) is None:
        pytest.skip(f"{server} is not installed")
    flags = {"OBS_MIDDLEWARE": ",".join(f"divan_obs_asgi.middlewares.{name}Middleware" for name in middlewares)}
    with closing(Command(SERVICE, server, "app", env=flags)) as command:
        command.start()
        left = {}
        for times in (2, TIMES):
            for ending in (*ANSWERED, *LEFT):
                for _ in range(times):
                    _talk(command, ending)
                left[ending] = json.loads(httpx.get(f"{command.url}/collect", timeout=PATIENCE_S).text)
        assert {ending: found for ending, found in left.items() if found} == {}


CYCLE = """
async def stores_itself(scope, receive, send):
    scope["mine"] = scope["divan_obs_asgi.record"], scope
    await application(scope, receive, send)

stack = obs.wrap(stores_itself)
"""


def test_a_cycle_would_be_seen() -> None:
    """What the other tests look for is found where it is."""
    if importlib.util.find_spec("granian") is None:
        pytest.skip("granian is not installed")
    with closing(Command(SERVICE + CYCLE, "granian", "app")) as command:
        command.start()
        httpx.get(f"{command.url}/collect", timeout=PATIENCE_S)
        for _ in range(TIMES):
            _talk(command, "ok")
        assert httpx.get(f"{command.url}/collect", timeout=PATIENCE_S).json()["MeasuredRequest"] == TIMES
