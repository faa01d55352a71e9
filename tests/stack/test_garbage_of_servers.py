"""A request is freed when it has ended under the real command of every server: one process each, with all endings."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import socket
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import Any

import pytest

from tests.garbage import ENDINGS, LAST, PATIENCE_S, ask, request, upgraded
from tests.servers.command import Command

pytestmark = [pytest.mark.slow]

TIMES = 5
SERVERS = {
    "h11": ("uvicorn", "--http", "h11", "--ws", "websockets-sansio"),
    "httptools": ("uvicorn", "--http", "httptools", "--ws", "websockets-sansio"),
    "hypercorn": ("hypercorn",),
    "granian": ("granian",),
    "daphne": ("daphne",),
}
# `bare` is what the servers leave by themselves; in `traced` every span is recorded.
STACKS = ("bare", "all", "traced")
ALONE = ("Context", "RequestId", "Redaction", "Metrics", "AccessLog", "QuietPaths", "Ops")
# What a middleware leaves alone does not depend on the server's ways to end a request: two of them show it.
ALONE_UNDER = ("httptools", "hypercorn")
# The paths are /STACK/NUMBER/ENDING. The garbage collector runs at `/collect` only, and not over what was there at
# `/freeze`.
SERVICE = """
import asyncio, gc, json, os, sys, time, weakref
from collections import Counter
import divan_obs_asgi as obs
from divan_obs_asgi import middlewares
from tests import garbage

PATIENCE_S = 25.0
WITHOUT_TRACING = ("Context", "RequestId", "Redaction", "Metrics", "AccessLog", "QuietPaths", "Ops")

async def application(scope, receive, send):
    await garbage.application(scope, receive, send)

def stacked(*names):
    traced = {"OBS_TRACING_ENABLED": "true", "OTEL_TRACES_SAMPLER_ARG": "1"} if "Tracing" in names else {}
    bundle = obs.Observability.from_env({**os.environ, **traced})
    bundle.log.install()
    return obs.build_stack(application, bundle, [getattr(middlewares, f"{name}Middleware") for name in names])

stacks = {"bare": application, "all": stacked(*WITHOUT_TRACING)}
if "ALONE" in os.environ:
    stacks.update((name, stacked(name)) for name in WITHOUT_TRACING)
if "TRACED" in os.environ:
    stacks["traced"] = stacked("Context", "RequestId", "Redaction", "Tracing", "Metrics", "AccessLog", "Ops")
if "daphne.http_protocol" in sys.modules:
    # Of an application that raises after its response has started, daphne 4.2 tries to start another response. That
    # raises in its `application_checker`, which then never runs again: whatever raises later is never answered.
    from daphne.http_protocol import WebRequest
    answer = WebRequest.handle_exception
    WebRequest.handle_exception = lambda self, exception: self._response_started or answer(self, exception)
called, ended = Counter(), Counter()
tasks = weakref.WeakSet()

async def until(condition, patience_s=PATIENCE_S):
    deadline = time.monotonic() + patience_s
    while not condition() and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    return condition()

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise LookupError("no lifespan")
    first, number, *rest = scope["path"].strip("/").split("/")
    if first in stacks:
        scope["path"] = "/" + rest[0]
        called[number] += 1
        tasks.add(asyncio.current_task())
        try:
            await stacks[first](scope, receive, send)
        finally:
            ended[number] += 1
        return
    found = await controls[first](number, *rest)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
    await send({"type": "http.response.body", "body": json.dumps(found).encode()})

async def until_called(number, times):
    return {"ok": await until(lambda: called[number] >= int(times))}

async def until_ended(number, times):
    return {"ok": await until(lambda: ended[number] >= int(times))}

async def freeze(_):
    gc.collect()
    gc.freeze()
    gc.disable()
    return {"ok": True}

async def collect(_):
    all_ended = await until(lambda: called == ended)
    # daphne looks once a second which applications have ended, and holds them until then.
    await until(lambda: not tasks, 3.0)
    await garbage.settle()
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(0)
    found, ours = list(gc.garbage), garbage.ours(gc.garbage)
    gc.garbage.clear()
    codes = [one.f_code for one in found if hasattr(one, "f_code")]
    held = sorted({code.co_name for code in codes if code.co_filename == garbage.__file__})
    left = len(found)
    del found
    gc.collect()  # What was saved is still there, and would be found again.
    return {"ok": all_ended, "left": left, "ours": ours, "held": held}

controls = {"called": until_called, "ended": until_ended, "freeze": freeze, "collect": collect}
"""


class There:
    """The application in the other process, as one request sees it."""

    def __init__(self, port: int, number: int) -> None:
        self._port, self._number = port, number

    async def wait(self) -> None:
        """Return when the application was called."""
        await _control(self._port, f"called/{self._number}/1")

    async def wait_for_end(self) -> None:
        """Return when the application has ended."""
        await _control(self._port, f"ended/{self._number}/1")


async def _control(port: int, path: str) -> dict[str, Any]:
    answer = await ask(port, request(f"GET /{path}", LAST))
    # In chunks, under some servers.
    found: dict[str, Any] = json.loads(answer[answer.index(b"{") : answer.rindex(b"}") + 1])
    assert found["ok"], f"{path}: {answer!r}"
    return found


async def _abandons(path: str, port: int, there: There) -> int:
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", port))
        await loop.sock_sendall(client, request(f"GET {path}"))
        await there.wait_for_end()
    return 1


async def _abandons_websocket(path: str, port: int, there: There) -> int:
    async with upgraded(path, port):
        await there.wait_for_end()
    return 1


# Where the client does not wait for the response: not every server ends it.
UNANSWERED = {
    **dict.fromkeys(("error_after_start", "cancelled", "pipelined_cancelled", "incomplete", "no_response"), _abandons),
    **dict.fromkeys(("cancelled_websocket", "incomplete_websocket"), _abandons_websocket),
}


class Served:
    """A server's command, and the requests that it gets."""

    def __init__(self, command: Command) -> None:
        self._port = command.port
        self._number = 0

    async def _request(self, stack: str, ending: str) -> None:
        self._number += 1
        number = self._number
        talk: Any = UNANSWERED.get(ending) or ENDINGS[ending][1]
        times = await talk(f"/{stack}/{number}/{ending}", self._port, There(self._port, number))
        await _control(self._port, f"ended/{number}/{times}")

    async def left(self, stack: str, endings: Iterable[str], times: int = TIMES) -> dict[str, Any]:
        """Return what so many requests of each ending leave to the garbage collector, all at once."""
        async with asyncio.TaskGroup() as clients:
            for ending in endings:
                for _ in range(times):
                    clients.create_task(self._request(stack, ending))
        return await _control(self._port, "collect/now")

    async def accepts(self) -> None:
        """Return when the server accepts connections: granian reports its worker before that."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            try:
                await _control(self._port, "called/0/0")
                return
            except ConnectionError:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(0.02)

    async def freeze(self) -> None:
        await _control(self._port, "freeze/now")


async def _left_of(served: Served, stacks: Sequence[str], *, counts: bool = True) -> dict[str, object]:
    """Return what each stack leaves beside what the server leaves by itself, by stack and ending."""
    await served.accepts()
    for stack in stacks:
        await served.left(stack, ENDINGS, 1)  # What is made once.
    await served.freeze()
    endings = list(ENDINGS)
    bare = await served.left("bare", endings)
    if bare["held"]:
        # hypercorn keeps the exception of a cancelled application in a cycle of its own, with every frame on its way.
        endings = [one for one, (app, _) in ENDINGS.items() if getattr(app, "__name__", "") not in bare["held"]]
        bare = await served.left("bare", endings)
    assert len(endings) > len(ENDINGS) / 2, bare

    def is_more(found: dict[str, Any], by_server: dict[str, Any]) -> bool:
        return bool(found["ours"]) or (counts and found["left"] - by_server["left"] >= TIMES)

    more: dict[str, object] = {}
    for stack in stacks[1:]:
        found = await served.left(stack, endings)
        if is_more(found, bare):
            alone = {one: (await served.left(stack, [one]), await served.left("bare", [one])) for one in endings}
            more[stack] = found, bare, {one: pair for one, pair in alone.items() if is_more(*pair)}
    return more


@pytest.mark.parametrize("server", SERVERS)
def test_no_request_waits_for_the_garbage_collector(server: str) -> None:
    """However it ends, it leaves no more than without the library, and nothing of the library's."""
    name, *options = SERVERS[server]
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    traced = importlib.util.find_spec("opentelemetry") is not None
    env = {"TRACED": "true", "OTEL_TRACES_EXPORTER": "none"} if traced else {}
    alone = ALONE if server in ALONE_UNDER else ()
    if alone:
        env["ALONE"] = "true"
    with closing(Command(SERVICE, name, "app", *options, env=env)) as command:
        command.start()
        # Under daphne, Twisted and autobahn leave 2,700 objects for these requests, or 3,200: it depends on when their
        # timers end. hypercorn leaves 10,500, and 50 more or less. There only objects of the library are looked for.
        stacks = (*STACKS[: None if traced else -1], *alone)
        assert asyncio.run(_left_of(Served(command), stacks, counts=name not in ("daphne", "hypercorn"))) == {}


CYCLE = """
async def stores_itself(scope, receive, send):
    scope["mine"] = scope["divan_obs_asgi.record"], scope
    await application(scope, receive, send)

stacks["cycle"] = obs.build_stack(stores_itself, obs.Observability.from_env(), [middlewares.MetricsMiddleware])
"""


def test_a_cycle_would_be_seen() -> None:
    """What the other test looks for is found where it is."""
    with closing(Command(SERVICE + CYCLE, "uvicorn", "app")) as command:
        command.start()

        async def left() -> dict[str, Any]:
            served = Served(command)
            await served.accepts()
            await served.freeze()
            return await served.left("cycle", ["ok"])

        assert asyncio.run(left())["ours"]["MeasuredRequest"] == TIMES
