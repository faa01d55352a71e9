"""Lines of child processes arrive, however the child was made and however it ends."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.patience import PATIENCE_S
from tests.servers.command import Command

pytestmark = [pytest.mark.slow, pytest.mark.interpreter]

SHOP = """
import asyncio, logging, multiprocessing, os, sys
from concurrent.futures import ProcessPoolExecutor
import divan_obs_asgi as obs

async def app(scope, receive, send): ...
app = obs.wrap(app)
log = obs.logger("shop")

def sell(first=0):
    for number in range(first, first + 20):
        log.error("sold %d", number)

async def sell_in_a_loop():
    sell()

def fail():
    raise LookupError("no tea for ada@example.org")

def leave():
    sell()
    os._exit(3)

def waited(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""
SOLD = [f"sold {number}" for number in range(20)]


class Ran:
    """A program around the module `shop`, at its end."""

    def __init__(self, directory: Path, program: str) -> None:
        (directory / "shop.py").write_text(SHOP)
        (directory / "program.py").write_text(f"from shop import *\nif __name__ == '__main__':\n    {program}\n")
        command = [sys.executable, "-W", "ignore::DeprecationWarning", "program.py"]
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=120, check=False)
        self.code, self.errors = done.returncode, done.stderr
        self.lines: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]

    def sold(self) -> list[str]:
        assert self.errors == ""
        assert self.code == 0
        return [line["msg"] for line in self.lines if line["logger"] == "shop"]


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_the_lines_of_a_process_arrive(tmp_path: Path, method: str) -> None:
    """However `multiprocessing` starts it: it leaves without `atexit`."""
    program = f"c = multiprocessing.get_context('{method}'); p = c.Process(target=sell); p.start(); p.join()"
    assert Ran(tmp_path, program).sold() == SOLD


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_the_lines_of_an_executor_arrive(tmp_path: Path, method: str) -> None:
    """Its processes load the application when their first task arrives."""
    program = (
        f"pool = ProcessPoolExecutor(2, multiprocessing.get_context('{method}')); "
        "list(pool.map(sell, [0, 100])); pool.shutdown()"
    )
    assert sorted(Ran(tmp_path, program).sold()) == sorted([*SOLD, *(f"sold {number}" for number in range(100, 120))])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_the_lines_of_a_pool_arrive(tmp_path: Path, method: str) -> None:
    """Leaving its block ends the processes by SIGTERM."""
    program = f"with multiprocessing.get_context('{method}').Pool(1) as pool: pool.map(sell, [0])"
    assert Ran(tmp_path, program).sold() == SOLD


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_the_lines_of_a_process_that_leaves_at_once_arrive(tmp_path: Path, method: str) -> None:
    """`os._exit` runs no code of anybody's."""
    program = f"p = multiprocessing.get_context('{method}').Process(target=leave); p.start(); p.join()"
    assert Ran(tmp_path, program).sold() == SOLD


@pytest.mark.parametrize(
    "child",
    ["sell()", "asyncio.run(sell_in_a_loop())", "obs.logger('x').error('x'); sell()"],
    ids=["plain", "loop", "several"],
)
def test_the_lines_of_a_fork_arrive(tmp_path: Path, child: str) -> None:
    """Without `multiprocessing`, and also where the child runs an event loop of its own."""
    program = f"pid = os.fork()\n    if not pid:\n        {child}\n        os._exit(0)\n    assert waited(pid) == 0"
    assert Ran(tmp_path, program).sold() == SOLD


def test_the_lines_of_a_killed_child_arrive(tmp_path: Path) -> None:
    """Each is written before the log call returns."""
    child = "sell(); os.kill(os.getpid(), 9)"
    program = f"pid = os.fork()\n    if not pid:\n        {child}\n    assert waited(pid) == -9"
    assert Ran(tmp_path, program).sold() == SOLD


def test_the_lines_of_a_grandchild_arrive(tmp_path: Path) -> None:
    """As those of its parent."""
    program = (
        "pid = os.fork()\n    if not pid:\n        p = multiprocessing.Process(target=sell); p.start(); p.join()\n"
        "        os._exit(0)\n    assert waited(pid) == 0"
    )
    assert Ran(tmp_path, program).sold() == SOLD


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_failed_child_is_one_redacted_line(tmp_path: Path, method: str) -> None:
    """`multiprocessing` would write its traceback to standard error, with what it says."""
    program = (
        f"p = multiprocessing.get_context('{method}').Process(target=fail); p.start(); p.join(); assert p.exitcode == 1"
    )
    ran = Ran(tmp_path, program)
    assert (ran.code, ran.errors) == (0, "")
    (line,) = ran.lines
    assert (line["level"], line["logger"]) == ("CRITICAL", "divan_obs_asgi.uncaught")
    assert line["error"]["type"] == "LookupError"
    assert "no tea for" in line["error"]["traceback"]
    assert "ada@" not in json.dumps(line)


def test_other_output_of_a_failing_child_stays(tmp_path: Path) -> None:
    """Also what a thread of it writes afterwards."""
    program = (
        "import threading\n    def late():\n        threading.main_thread().join(0.2)\n"
        "        print('late', file=sys.stderr)\n"
        "    def both():\n        threading.Thread(target=late).start()\n        print('early', file=sys.stderr)\n"
        "        fail()\n"
        "    p = multiprocessing.get_context('fork').Process(target=both); p.start(); p.join()"
    )
    ran = Ran(tmp_path, program)
    assert ran.errors == "early\nlate\n"
    assert [line["level"] for line in ran.lines] == ["CRITICAL"]


def test_a_full_pipe_does_not_stop_a_child(tmp_path: Path) -> None:
    """Without a reader it waits once for 50 ms, and at its end like any process."""
    (tmp_path / "shop.py").write_text(SHOP)
    program = """
import fcntl, time
from shop import *
r, w = os.pipe()
fcntl.fcntl(w, 1031, 4096)
os.set_blocking(w, False)
os.write(w, b"x" * 4096)
os.set_blocking(w, True)
os.dup2(w, 1)
pid = os.fork()
if not pid:
    began = time.monotonic()
    for _ in range(10):
        sell()
    os._exit(0 if time.monotonic() - began < 10 else 1)
code = waited(pid)
print(code, end="", file=sys.stderr, flush=True)
os._exit(0)
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.stderr == "0"


SERVED = """
import asyncio, logging, multiprocessing, os
from concurrent.futures import ProcessPoolExecutor
import divan_obs_asgi as obs
from divan_obs_asgi.logs import sink

log = obs.logger("shop")

def sell():
    for number in range(20):
        log.error("sold %d", number)

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    if scope["path"] == "/sell":
        process = multiprocessing.get_context("fork").Process(target=sell)
        process.start()
        await asyncio.get_running_loop().run_in_executor(None, process.join)
    log.warning("served")
    prompt = any(one._synchronous for one in sink._sinks)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(prompt).encode()})

app = obs.wrap(app)
"""


def get(server: Command, path: str) -> bytes:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        connection = http.client.HTTPConnection(server.host, server.port, timeout=PATIENCE_S)
        try:
            connection.request("GET", path, headers={"connection": "close", "x-request-id": f"of{path}"})
            return connection.getresponse().read()
        except ConnectionRefusedError:
            # uvicorn says that it runs before its workers do.
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.mark.parametrize(
    "options",
    [
        ("uvicorn",),
        ("uvicorn", "--workers", "2"),
        ("uvicorn", "--workers", "2", "--lifespan", "off"),
        ("gunicorn", "--preload", "-k", "uvicorn_worker.UvicornWorker"),
    ],
    ids=" ".join,
)
def test_a_request_starts_a_process(options: tuple[str, ...]) -> None:
    """Its lines arrive with the ids of the request; the worker itself, also a forked one, keeps its queue."""
    server = Command(SERVED, options[0], "app", *options[1:])
    try:
        server.start()
        assert get(server, "/sell") == b"False"
        assert get(server, "/") == b"False"
        server.stop()
        assert server.ended.wait(PATIENCE_S)
    finally:
        server.close()
    lines = [line for line in server.lines() if line["logger"] == "shop"]
    assert [line["msg"] for line in lines].count("served") == 2
    sold = [line for line in lines if line["msg"].startswith("sold")]
    assert [line["msg"] for line in sold] == SOLD
    # Two workers may serve the two requests, and write in any order.
    served = [line["request_id"] for line in lines if line["msg"] == "served"]
    assert sorted(served) == ["of/", "of/sell"]
    assert {line["request_id"] for line in sold} == {"of/sell"}
