"""
Latency of a route while others send hostile web vitals to the same process.

    python -m benchmarks.ingest --rounds 5

One uvicorn with `wrap` and OBS_VITALS_ENABLED serves a small application. In a round a client asks for /users/42 over
one connection, up to a hundred times a second, for some seconds without and with up to 10,000 hostile requests a minute
to /ops/ingest: invented names, routes and numbers, NaN, nested JSON, bodies of 1 MB, other origins, from 100 addresses
(X-Forwarded-For). Shown are p50 and p99 over all rounds, the refused requests, the series of web vitals, and the
resident memory of the server before and after.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import click

from benchmarks.inprocess import application
from benchmarks.measuring import heading, machine

PACKAGES = ("uvicorn", "starlette", "prometheus_client")
ORIGIN = "https://shop.example"
EVERY_S = 0.01
FLOOD_EVERY_S = 60 / 10_000
FLAGS = {
    "OBS_VITALS_ENABLED": "true",
    "OBS_VITALS_ORIGINS": ORIGIN,
    "OBS_VITALS_ROUTES": "/",
    "OBS_METRICS_PUBLIC": "true",
    "OBS_ENV": "dev",
    "OBS_LOGGING_ENABLED": "false",
}


def app() -> object:
    """Return what is served."""
    import divan_obs_asgi as obs

    return obs.wrap(application())


def body(number: int) -> bytes:
    """Return one of the bodies that somebody might try, each time another one."""
    vital = {"name": "LCP", "value": 1.5, "rating": "good", "navigation": "navigate", "route": "/"}
    wrong = ({"name": f"LCP{number}"}, {"route": f"/{number}"}, {"value": 1e308}, {"value": -number}, {f"k{number}": 1})
    raw = (b'{"vitals":[{"name":"LCP","value":NaN}]}', b" " * 1_000_000, b'{"a":' * 900 + b"1" + b"}" * 900)
    which = number % (len(wrong) + len(raw))
    if which < len(wrong):
        return json.dumps({"vitals": [{**vital, **wrong[which]}]}).encode()
    return raw[which - len(wrong)]


def flood(port: int) -> None:
    """Send hostile requests until killed."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    next_at = time.monotonic()
    number = 0
    print("flooding", flush=True)
    while True:
        number += 1
        origin = f"https://evil{number}.example" if number % 11 == 0 else ORIGIN
        headers = {"Origin": origin, "Content-Type": "text/plain", "X-Forwarded-For": f"192.0.2.{number % 100}"}
        try:
            connection.request("POST", "/ops/ingest", body(number), headers)
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            connection.close()  # The server closes where a body is too long, before it has read all of it.
        next_at += FLOOD_EVERY_S
        time.sleep(max(0.0, next_at - time.monotonic()))


def latencies(port: int, seconds: float) -> list[float]:
    """Return the milliseconds that each request took."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    found = []
    end = time.monotonic() + seconds
    while (start := time.monotonic()) < end:
        connection.request("GET", "/users/42")
        assert connection.getresponse().read().endswith(b'"online":true}')
        found.append((time.monotonic() - start) * 1000)
        time.sleep(max(0.0, EVERY_S - (time.monotonic() - start)))
    connection.close()
    return found


def page(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return text


def resident_mb(pid: int) -> float:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextlib.contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", *arguments]
    with subprocess.Popen(command, env={**os.environ, **FLAGS}, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


@click.command(help=__doc__)
@click.option("--rounds", default=5, show_default=True)
@click.option("--seconds", default=5.0, show_default=True, help="For each of the two, in a round.")
@click.option("--flooding", hidden=True, type=int)
def main(rounds: int, seconds: float, flooding: int | None) -> None:
    if flooding is not None:
        flood(flooding)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    options = ("--factory", "--port", str(port), "--forwarded-allow-ips", "*", "--log-level", "warning")
    with running("uvicorn", *options, "--no-access-log", "benchmarks.ingest:app") as server:
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.1)
        latencies(port, seconds)
        taken: dict[str, list[float]] = {"alone": [], "beside a flood": []}
        before = resident_mb(server.pid)
        for _ in range(rounds):
            taken["alone"] += latencies(port, seconds)
            with running("benchmarks.ingest", "--flooding", str(port)) as flooding_process:
                assert flooding_process.stdout is not None
                flooding_process.stdout.readline()
                taken["beside a flood"] += latencies(port, seconds)
        after = resident_mb(server.pid)
        counted = [line for line in page(port).splitlines() if line.startswith("divan_web_vitals")]
    for line in heading(machine(PACKAGES), f"{rounds} rounds of {seconds:g} s"):
        click.echo(line)
    for name, found in taken.items():
        p99 = statistics.quantiles(found, n=100)[98]
        click.echo(f"{name:<16} {len(found):>6} requests   p50 {statistics.median(found):.2f} ms   p99 {p99:.2f} ms")
    refused = sum(float(line.rpartition(" ")[2]) for line in counted if line.startswith("divan_web_vitals_rejected"))
    series = sum(not line.startswith("divan_web_vitals_rejected") for line in counted)
    click.echo(f"{refused:.0f} refused, {series} series of web vitals, {before:.1f} MB before and {after:.1f} MB after")


if __name__ == "__main__":
    main()
