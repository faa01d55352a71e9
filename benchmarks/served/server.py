"""Starts and ends one server process on a processor of its own."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.inprocess import Misconfigured
from benchmarks.load.processor import tree_s
from benchmarks.served.cases import LIVE, VARIANTS, Case

PATIENCE_S = 60.0
STOP_S = 20.0
_APPLICATION = "benchmarks.served.application:make"
COMMANDS = {
    "uvicorn": (
        *("uvicorn", "--factory", _APPLICATION, "--loop", "uvloop", "--http", "httptools", "--ws", "none"),
        *("--interface", "asgi3", "--lifespan", "on", "--no-access-log", "--log-level", "warning"),
    ),
    "granian": (
        *("granian", "--factory", _APPLICATION, "--interface", "asgi", "--loop", "uvloop", "--workers", "1"),
        *("--no-ws", "--http", "1", "--log-level", "warning"),
    ),
}


@dataclass(frozen=True)
class Server:
    """A server that listens on 127.0.0.1."""

    pid: int
    port: int

    def cpu_s(self) -> float:
        """Return user and system seconds of the process, its threads and its children."""
        return tree_s(self.pid)

    def rss_mb(self) -> float:
        """Return the resident memory of the process that serves: the largest of the tree."""
        return max(_rss_mb(pid) for pid in (str(self.pid), *_children(self.pid)))


@contextlib.contextmanager
def serving(case: Case, collector: str, core: int, report: Path) -> Iterator[Server]:
    """
    Serve a case; when it has ended, it has written its report.

    Raises:
        Misconfigured: if it does not listen in time, or does not respond as it should.
    """
    port = _free_port()
    environ = {
        **os.environ,
        "BENCHMARK_VARIANT": case.variant,
        "BENCHMARK_MODE": case.mode,
        "BENCHMARK_COLLECTOR": collector if case.spans == LIVE else "",
        "BENCHMARK_REPORT": str(report),
    }
    command = [sys.executable, "-m", *COMMANDS[case.server], "--host", "127.0.0.1", "--port", str(port)]
    before = set(_children(os.getpid()))
    process = None
    try:
        with _on(core):
            process = subprocess.Popen(command, env=environ)
        _await_response(process, case, port)
        yield Server(process.pid, port)
    finally:
        if process is not None:
            _end(process)
        else:
            # Ctrl-C came when the process was there already, and `Popen` had not returned it.
            _kill(set(_children(os.getpid())) - before)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a server in order, or else by force: its workers too, which would outlive it."""
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        workers = _children(process.pid)
        process.kill()
        process.wait()
        _kill(workers)


def _kill(pids: Iterable[str]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def _await_response(process: subprocess.Popen[bytes], case: Case, port: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(ConnectionRefusedError), _connected(port) as client:
            client.request("GET", "/users/42", headers={"connection": "close"})
            response = client.getresponse()
            fine = response.status == 200 and b'"Ada"' in response.read()
            # Who observes nothing sends no id.
            if not fine or (case.variant in VARIANTS[1:] and not response.headers["x-request-id"]):
                raise Misconfigured(f"{case}: expected the response, with a request id.")
            return
        time.sleep(0.05)
    raise Misconfigured(f"{case}: the server does not listen; its exit code is {process.poll()}.")


@contextlib.contextmanager
def _connected(port: int) -> Iterator[http.client.HTTPConnection]:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    client.connect()
    with contextlib.closing(client):
        yield client


@contextlib.contextmanager
def _on(core: int) -> Iterator[None]:
    """Let this thread run on one processor; what it starts meanwhile stays there."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _rss_mb(pid: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


__all__ = ["Server", "serving"]
