"""Sends requests over open connections, each as soon as the one before is answered: wrk, or a client in Python."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from typing import cast

import orjson
import uvloop

from benchmarks.inprocess import HEADERS, Misconfigured

CONNECTIONS = 64
# What a browser sends; `connection` is the client's to choose.
_SENT = [(name.decode(), value.decode()) for name, value in HEADERS if name != b"connection"]
# wrk's summary has 50, 75, 90 and 99 %. Its numbers are microseconds.
_SCRIPT = """
%s
done = function(summary, latency, requests)
    local errors = summary.errors
    io.stderr:write(string.format(
        '{"answered":%%d,"took_s":%%f,"p50_ms":%%f,"p99_ms":%%f,"p999_ms":%%f,"failed":%%d}',
        summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
        latency:percentile(99.9) / 1e3, errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


@dataclass(frozen=True)
class Load:
    """What the client saw."""

    answered: int
    took_s: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    failed: int = 0


def client() -> str:
    """Return the name of the client that is used."""
    return "wrk" if shutil.which("wrk") else "the client in Python (wrk is not installed)"


def load(port: int, seconds: float) -> Load:
    """
    Send requests for so many seconds, of which wrk knows only whole ones.

    Raises:
        Misconfigured: if a request failed.
    """
    found = _by_wrk(port, seconds) if shutil.which("wrk") else uvloop.run(_by_python(port, seconds))
    if found.failed or not found.answered:
        raise Misconfigured(f"{found.failed} of {found.answered} requests failed.")
    return found


def _by_wrk(port: int, seconds: float) -> Load:
    headers = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in _SENT)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_SCRIPT % headers)
        script.flush()
        url = f"http://127.0.0.1:{port}/users/42"
        command = [
            "wrk",
            "-t1",
            "--timeout",
            "60s",
            f"-c{CONNECTIONS}",
            f"-d{max(1, round(seconds))}s",
            "-s",
            script.name,
            url,
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=True)
    return Load(**orjson.loads(done.stderr))


class _Client(asyncio.Protocol):
    """Sends the next request as soon as the response has come."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.latencies_s: list[float] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        self._send()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        # {"id":"42","name":"Ada","online":true}
        if data.endswith(b'"online":true}'):
            self.latencies_s.append(time.perf_counter() - self._sent)
            self._send()


async def _by_python(port: int, seconds: float) -> Load:
    loop = asyncio.get_running_loop()
    headers = "".join(f"{name}: {value}\r\n" for name, value in _SENT)
    request = f"GET /users/42 HTTP/1.1\r\n{headers}\r\n".encode()
    started = time.perf_counter()
    made = [await loop.create_connection(lambda: _Client(request), "127.0.0.1", port) for _ in range(CONNECTIONS)]
    await asyncio.sleep(seconds)
    took_s = time.perf_counter() - started
    for transport, _ in made:
        transport.close()
    latencies_ms = sorted(latency_s * 1e3 for _, one in made for latency_s in one.latencies_s)

    def quantile(share: float) -> float:
        return latencies_ms[int(share * (len(latencies_ms) - 1))] if latencies_ms else 0.0

    return Load(len(latencies_ms), took_s, quantile(0.5), quantile(0.99), quantile(0.999))


__all__ = ["CONNECTIONS", "Load", "client", "load"]
