"""A receiver that is not ours takes our spans: rotel, a collector in a wheel."""

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

from divan_obs_asgi.otlp.answers import DROP_REASONS
from tests.patience import PATIENCE_S
from tests.servers.process import free_port
from tests.tracing.test_collector_faults import Service

_spec = importlib.util.find_spec("rotel")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(_spec is None, reason="needs the package rotel")]
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
OTLP = "OTEL_EXPORTER_OTLP"


class Rotel:
    """What the collector has printed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._lines: list[str] = []
        self._process = process
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        self._lines.extend(_COLOUR.sub("", line) for line in self._process.stdout)

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not any(text in line for line in list(self._lines)):
            assert time.monotonic() < deadline, self._lines
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
    try:
        for port in (grpc, http):
            _wait_until_open(port)
        yield Rotel(process)
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
        assert process.stdout is not None
        process.stdout.close()


def _wait_until_open(port: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_spans_that_waited_for_it_arrive(protocol: str, compression: str) -> None:
    """The collector starts after more attempts than would once have lost the batch; nothing is lost."""
    ports = {"grpc": free_port(), "http/protobuf": free_port()}
    traced = Service(
        ports[protocol],
        **{
            f"{OTLP}_ENDPOINT": f"http://127.0.0.1:{ports[protocol]}",
            f"{OTLP}_PROTOCOL": protocol,
            f"{OTLP}_COMPRESSION": compression,
            "OBS_TRACING_SHUTDOWN_TIMEOUT_S": "20",
        },
    )
    traced.ask(8)
    for _ in range(4):
        assert not traced.flush()
    with rotel(ports["grpc"], ports["http/protobuf"]) as collector:
        assert traced.flush()
        collector.wait_for("spans=8")
        traced.shut_down()
    assert traced.lost(*DROP_REASONS) == 0
