"""Streams that take nothing: the service answers on, and a signal ends it in time."""

from __future__ import annotations

import http.client
import os
import pty
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.servers.process import free_port

APP = """
import logging, os, sys

import divan_obs_asgi as obs

class TextOnly:
    def write(self, text):
        os.write(2, text.encode())
    def flush(self): ...

if os.environ.get("TEXT_ONLY"):
    sys.stdout = sys.stderr = TextOnly()

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    # Two such requests are more than the queue and the writer hold.
    for number in range(12_000 if scope["path"].startswith("/loud") else 0):
        logging.warning("line %d %s", number, "x" * 100)
    if scope["path"].endswith("/fault"):
        bundle.faults.report("a-part", ValueError("on purpose"))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"served"})

bundle = obs.Observability.from_env()
app = obs.wrap(app, bundle)
"""
# Each waits for what a stream does not take until the end.
pytestmark = pytest.mark.slow
# Seconds; on a busy machine a start may take long.
PATIENCE_S = 90.0
# Seconds from SIGTERM to the end: the drain, the flush at the end of the lifespan, and the one at exit.
END_S = 30.0


def stuff(descriptor: int) -> int:
    """Fill what stands behind a descriptor, so that the next blocking write never returns."""
    os.set_blocking(descriptor, False)
    for size in (4096, 1):
        with suppress(BlockingIOError):
            while os.write(descriptor, b"x" * size):
                pass
    os.set_blocking(descriptor, True)
    return descriptor


def full_pipe(ends: list[int]) -> int:
    ends.extend(os.pipe())
    return stuff(ends[-1])


def full_terminal(ends: list[int]) -> int:
    ends.extend(pty.openpty())
    return stuff(ends[-1])


def full_socket(ends: list[int]) -> int:
    for end in socket.socketpair():
        ends.append(end.detach())
    return stuff(ends[-1])


def file(ends: list[int]) -> int:
    with tempfile.TemporaryFile() as file:
        ends.append(os.dup(file.fileno()))
    return ends[-1]


STREAMS: dict[str, Callable[[list[int]], int]] = {
    "pipe": full_pipe,
    "terminal": full_terminal,
    "socket": full_socket,
    "file": file,
}


@pytest.fixture
def ends() -> Iterator[list[int]]:
    """Descriptors that are open as long as the test."""
    ends: list[int] = []
    yield ends
    for end in ends:
        os.close(end)


class Started:
    """`uvicorn shop:app` with given streams."""

    def __init__(self, directory: Path, streams: int | None, *options: str, **environ: str) -> None:
        (directory / "shop.py").write_text(APP)
        self.port = free_port()
        own = ["--port", str(self.port), "--app-dir", str(directory)]
        command = [sys.executable, "-m", "uvicorn", "shop:app", *own, *options]
        if streams is None:
            command = ["sh", "-c", 'exec "$@" >&- 2>&-', "sh", *command]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=streams,
            stderr=streams,
            env={**os.environ, "HEALTH_INTERVAL_S": "0", "OBS_DRAIN_DELAY_S": "0.2", **environ},
        )

    def answers(self, path: str = "/") -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        connection.request("GET", path)
        body = connection.getresponse().read()
        connection.close()
        return body

    def wait(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            assert self.process.poll() is None
            assert time.monotonic() < deadline
            with suppress(ConnectionError):
                self.answers("/quiet")
                return
            time.sleep(0.05)

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(END_S)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Started]]:
    started: list[Started] = []

    def start(streams: int | None, *options: str, **environ: str) -> Started:
        started.append(Started(tmp_path, streams, *options, **environ))
        started[-1].wait()
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait(END_S)


@pytest.mark.parametrize(
    ("stream", "unbuffered"),
    [("pipe", "1"), ("pipe", ""), ("terminal", "1"), ("socket", "1"), ("file", "1")],
)
def test_a_stream_that_takes_nothing_blocks_no_request_and_no_end(
    start: Callable[..., Started], ends: list[int], stream: str, unbuffered: str
) -> None:
    """Under the real command, with warnings, failures inside the library and the lines of a drain."""
    served = start(STREAMS[stream](ends), PYTHONUNBUFFERED=unbuffered)
    for path in ("/loud", "/loud/fault", "/quiet"):
        assert served.answers(path) == b"served"
    served.answers("/health/ready")
    served.end()


def test_an_object_in_the_place_of_a_stream_blocks_nothing(start: Callable[..., Started], ends: list[int]) -> None:
    """One that takes text only, and has no descriptor that anybody could ask."""
    served = start(full_pipe(ends), PYTHONUNBUFFERED="1", TEXT_ONLY="1")
    for path in ("/loud", "/loud/fault", "/quiet"):
        assert served.answers(path) == b"served"
    served.end()


def test_the_librarys_own_lines_block_nothing_without_a_pipeline(
    start: Callable[..., Started], ends: list[int]
) -> None:
    """Python would write a line that has no handler to standard error, in the event loop's thread."""
    environ = {"OBS_LOGGING_ENABLED": "false", "OBS_ACCESS_LOG_ENABLED": "false", "OBS_DRAIN_DELAY_S": "0.2"}
    # uvicorn's own lines block it.
    served = start(full_pipe(ends), "--log-level", "critical", PYTHONUNBUFFERED="1", **environ)
    for path in ("/fault", "/quiet"):
        assert served.answers(path) == b"served"
    served.end()


def test_closed_streams_block_nothing(start: Callable[..., Started]) -> None:
    """As behind `>&- 2>&-`: Python has no `sys.stdout` then."""
    # Without this option, uvicorn checks whether `sys.stdout` is a terminal.
    served = start(None, "--no-use-colors", PYTHONUNBUFFERED="1")
    for path in ("/loud", "/loud/fault", "/quiet"):
        assert served.answers(path) == b"served"
    served.end()
