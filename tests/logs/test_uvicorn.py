"""A real uvicorn with two workers, ended under load."""

from __future__ import annotations

import http.client
import json
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import IO, ClassVar

import pytest

from tests.patience import PATIENCE_S
from tests.servers.process import START_TIMEOUT_S, STOP_TIMEOUT_S, ServerProcess

pytestmark = pytest.mark.slow

APP = """
import asyncio, itertools, logging, os

import divan_obs_asgi as obs
from tests.patience import PATIENCE_S

logger = logging.getLogger("shop")
ledger = os.open("ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
numbers = itertools.count()

def note(level):
    # First the ledger, then the log: whatever stands there must be here, too.
    name = f"{os.getpid()}-{next(numbers)}"
    os.write(ledger, f"{name}\\n".encode())
    logger.log(level, "sold %s", name)

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    logger.debug("a detail")
    note(logging.WARNING)
    await asyncio.sleep(0.001)
    note(logging.ERROR)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})

app = obs.wrap(app)
"""
MANDATORY = {"ts", "level", "msg", "service", "env", "commit", "request_id", "trace_id", "span_id", "route", "status"}
MANDATORY |= {"latency_ms", "logger", "sample_rate"}


class Uvicorn(ServerProcess):
    """`uvicorn shop:app --workers 2`."""

    ready_line: ClassVar[re.Pattern[str]] = re.compile("Application startup complete|Uvicorn running")

    def __init__(self, *options: str) -> None:
        super().__init__()
        (self.directory / "shop.py").write_text(APP)
        self._options = options
        self.log: deque[str] = deque()  # All of it.
        self.at_end = threading.Event()

    def command(self) -> Sequence[str]:
        own = ["--app-dir", str(self.directory), "--host", self.host, "--port", str(self.port), "--workers", "2"]
        return [sys.executable, "-m", "uvicorn", "shop:app", *own, *self._options]

    def _read_log(self, output: IO[str], ready: threading.Event) -> None:
        super()._read_log(output, ready)
        self.at_end.set()

    def ask(self) -> int | None:
        """Return the id of the worker that answered, None where none does."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE_S)
        with suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/", headers={"connection": "close"})
            return int(connection.getresponse().read())
        return None


@pytest.fixture(params=["auto", "off"])
def server(request: pytest.FixtureRequest) -> Iterator[Uvicorn]:
    """With the lifespan, at whose end everything is flushed, and without one."""
    server = Uvicorn("--lifespan", request.param)
    try:
        yield server
    finally:
        server.close()


def test_no_warning_is_lost_when_the_server_is_ended_under_load(server: Uvicorn) -> None:
    """SIGTERM in the middle of hundreds of requests: every line of WARNING or above is there, and all are JSON."""
    server.start()
    started = time.monotonic()
    pids: set[int | None] = set()
    while len(pids - {None}) < 2:
        assert time.monotonic() - started < START_TIMEOUT_S, "the second worker does not answer"
        pids.add(server.ask())
    ended = threading.Event()

    def insist() -> None:
        while not ended.is_set():
            server.ask()

    clients = [threading.Thread(target=insist, daemon=True) for _ in range(6)]
    for client in clients:
        client.start()
    ledger = server.directory / "ledger"
    while len(ledger.read_bytes().splitlines()) < 600:
        server.ask()
    server.stop()
    ended.set()
    for client in clients:
        client.join()
    assert server.at_end.wait(STOP_TIMEOUT_S)

    sold = ledger.read_text().split()
    lines = [json.loads(line) for line in server.log if line.startswith("{")]
    # On a busy machine a request may be slow and emit its buffered lines.
    warned = [line for line in lines if line["logger"] == "shop" and line["level"] != "DEBUG"]
    logged = [line["msg"].removeprefix("sold ") for line in warned]
    assert len(sold) >= 600
    assert sorted(logged) == sorted(sold)
    assert all(line.keys() >= MANDATORY for line in lines)
    # Lines that are not JSON come from the parent process, which does not import the application.
    rest = [line for line in server.log if not line.startswith("{")]
    assert all(line.startswith("INFO:  ") for line in rest), rest
