"""rotel, an OpenTelemetry collector in a wheel: a receiver that is not ours."""

from __future__ import annotations

import importlib.util
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S

_spec = importlib.util.find_spec("rotel")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
needs_rotel = pytest.mark.skipif(_spec is None, reason="needs the package rotel")


class Rotel:
    """A running collector, and what it has printed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.lines: list[str] = []
        self._process = process
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        self.lines.extend(_COLOUR.sub("", line) for line in self._process.stdout)

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not any(text in line for line in list(self.lines)):
            assert self._process.poll() is None, self.lines
            assert time.monotonic() < deadline, self.lines
            time.sleep(0.02)

    def wait_until_open(self, port: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                assert self._process.poll() is None, self.lines
                assert time.monotonic() < deadline, self.lines
                time.sleep(0.02)


@contextmanager
def rotel(grpc: int, http: int, *options: str, signal: str = "traces") -> Iterator[Rotel]:
    assert _spec is not None
    assert _spec.origin is not None
    command = [str(Path(_spec.origin).with_name("rotel-agent")), "start", "--exporter", "blackhole"]
    command += ["--otlp-grpc-endpoint", f"127.0.0.1:{grpc}", "--otlp-http-endpoint", f"127.0.0.1:{http}"]
    process = subprocess.Popen(
        [*command, "--debug-log", signal, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    collector = Rotel(process)
    try:
        for port in (grpc, http):
            collector.wait_until_open(port)
        yield collector
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
        assert process.stdout is not None
        process.stdout.close()
