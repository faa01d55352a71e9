"""The page of the console in a real Chromium, on the reference backend with a real PostgreSQL and a real Redis."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest

from tests.ops.asking import TOKEN
from tests.ops.service import Service
from tests.patience import PATIENCE_S
from tests.servers.chromium import Browser
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer

# A browser, a server and its stores, which say the same on every interpreter.
pytestmark = pytest.mark.slow

# The reference backend, with routes that go wrong.
SERVICE = """
import logging
import time

from starlette.responses import PlainTextResponse
from starlette.routing import Route

from examples.divan.backend import create_app

log = logging.getLogger("shop")

def database():
    return backend.state.database

async def slow(request):
    await database().fetch_one("SELECT pg_sleep(1.2)")
    return PlainTextResponse("slow")

async def repeated(request):
    for number in range(20):
        await database().fetch_one("SELECT CAST(:number AS integer) AS found", {"number": number})
    return PlainTextResponse("repeated")

async def failing(request):
    log.debug("The cart has no items.")
    return PlainTextResponse(str(1 / 0))

async def blocking(request):
    time.sleep(1.5)
    return PlainTextResponse("blocked")

backend = create_app()
backend.router.routes[:0] = [
    Route("/slow", slow), Route("/repeated/{id}", repeated), Route("/failing", failing), Route("/blocking", blocking),
]
app = backend
"""


@contextmanager
def serving(redis: RedisServer, postgres: PostgresServer) -> Iterator[Service]:
    """Serve the backend with the console, with a database of its own."""
    url = postgres.new_database()
    flags = {
        "DATABASE_URL": url,
        "REDIS_URL": redis.url.removesuffix("/0") + "/9",
        "OBS_CONSOLE_ENABLED": "true",
        "OBS_LOGGING_ENABLED": "true",
        "OBS_TRACE_SAMPLE": "0.1",
        "HEALTH_MIN_MIGRATION": "0008",
    }
    try:
        with closing(Service(SERVICE, flags)) as service:
            yield service.start()
    finally:
        postgres.drop(url)


@contextmanager
def commands(orders: dict[str, Callable[[], object]]) -> Iterator[str]:
    """Let the script of the browser have something done: `POST /name` on the URL that is yielded."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            orders[self.path.strip("/")]()
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_an_operator_finds_out_what_goes_wrong(
    browser: Browser, redis_server: RedisServer, postgres_server: PostgresServer
) -> None:
    """
    A slow request has its SQL, a failure its lines; a statement that repeats, a blocked loop and a lost Redis are seen.

    Then a level is raised, the service restarts under the page, which goes on, and a drain is asked for twice.
    """
    with serving(redis_server, postgres_server) as service:
        url = str(service.client.base_url).rstrip("/")

        def get(path: str) -> Callable[[], object]:
            def ask() -> None:
                with suppress(httpx.HTTPError):
                    httpx.get(url + path, timeout=PATIENCE_S)

            return ask

        def restart() -> None:
            service.stop()
            service.start()

        orders: dict[str, Callable[[], object]] = {
            "slow": get("/slow"),
            "repeated": get("/repeated/7"),
            "failing": get("/failing?token=hunter2"),
            "blocking": get("/blocking"),
            "ready": get("/health/ready"),
            "kill-redis": redis_server.kill,
            "start-redis": redis_server.start,
            "restart": restart,
        }
        try:
            with commands(orders) as order:
                seen: Any = browser.visit(
                    patience_s=10 * PATIENCE_S,
                    url=f"{url}/ops/console",
                    order=order,
                    token=TOKEN,
                    visit="operator",
                )
        finally:
            if not redis_server.running:
                redis_server.start()
    assert seen["complaints"] == []
    assert seen["foreign"] == []
    found = seen["found"]
    assert "pg_sleep" in found["slow"]
    assert "20 \N{MULTIPLICATION SIGN}" in found["repeated"]
    assert "The cart has no items." in found["failing"]
    assert "ZeroDivisionError" in found["failing"]
    assert "hunter2" not in found["failing"]
    assert "blocking" in found["loop"]
    assert "refused" in found["health"]
    assert "DEBUG" in found["level"]
    assert "restarted" in found["restarted"]
    assert "draining" in found["draining"]


# Two workers, whose failures say which of them it was.
SHOP = """
import os

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import divan_obs_asgi as obs

async def failing(request):
    raise ValueError("out of stock")

async def worker(request):
    return PlainTextResponse(str(os.getpid()))

app = obs.wrap(Starlette(routes=[Route("/failing", failing), Route("/worker", worker)]))
"""


class Workers(Service):
    """A service of two processes that share a directory."""

    # The supervisor says that it runs before a worker listens.
    ready_line: ClassVar[re.Pattern[str]] = re.compile("Application startup complete")

    def command(self) -> Sequence[str]:
        return [*super().command(), "--workers", "2"]


def pids(url: str, path: str, count: int) -> set[int]:
    """Ask until so many workers have answered, each on a new connection, and have met the path, too."""
    found: set[int] = set()
    deadline = time.monotonic() + PATIENCE_S
    while len(found) < count:
        assert time.monotonic() < deadline, found
        with httpx.Client(base_url=url, timeout=PATIENCE_S) as client:
            found.add(int(client.get("/worker").text))
            client.get(path)
    return found


def test_the_failures_of_a_killed_worker_are_still_there(browser: Browser, tmp_path: Path) -> None:
    """Whichever worker answers, the page shows both; after one is killed, its requests stay."""
    flags = {"OBS_CONSOLE_ENABLED": "true", "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    with closing(Workers(SHOP, flags)) as service:
        service.start()
        url = str(service.client.base_url).rstrip("/")
        victim = min(pids(url, "/failing", 2))
        orders: dict[str, Callable[[], object]] = {"kill": lambda: os.kill(victim, signal.SIGKILL)}
        with commands(orders) as order:
            seen: Any = browser.visit(
                patience_s=10 * PATIENCE_S,
                url=f"{url}/ops/console",
                order=order,
                token=TOKEN,
                victim=victim,
                visit="workers",
            )
    assert seen["complaints"] == []
    assert seen["foreign"] == []
    assert str(victim) in seen["found"]["opened"]
    assert "ValueError" in seen["found"]["opened"]
