"""
Megabytes of a served application that is sent nothing but invented requests, by their number.

    python -m benchmarks.soak --requests 400000

No two requests are alike: method, path, query, `Host`, ids, trace headers, cookies, tokens and addresses are invented
anew for each, and a part of them goes to /metrics, /health and /ops. Variants: bare; ours (`init`, all flags on, spans
sent to a collector that forgets them, lines to a file that forgets them). What is told is the resident memory of the
server's process after each tenth of the requests. It has to be flat in the second half: the exit code is 1 where it
grows by more than a megabyte in 100,000 requests.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import cast

import click
import httptools
import uvloop

from benchmarks.inprocess import application
from benchmarks.measuring import heading, machine
from benchmarks.served import Collector

NAMES = ("bare", "ours")
PACKAGES = ("uvicorn", "httptools", "grpcio", "starlette", "prometheus_client", "opentelemetry-sdk")
CONNECTIONS = 16
PATHS = ("/users/", "/", "/files/", "/ops/", "/metrics?", "/health/ready?verbose=", "/socket.io/?sid=")
LOOKS = 10
#: Megabytes in 100,000 requests, in the second half.
FLAT_MB = 1.0


def serve(name: str, collector: str) -> None:
    """Serve one variant on a free port, and say which on standard error."""
    import os
    import socket

    import uvicorn

    app = application()
    if name == "ours":
        flags = {
            "OBS_ADMIN_TOKEN": "a-token-that-nobody-guesses",
            "OBS_TRACING_ENABLED": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
            "OBS_DRAIN_DELAY_S": "0",
        }
        for flag, value in flags.items():
            os.environ.setdefault(flag, value)
        import divan_obs_asgi as obs

        obs.init(app)
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        sys.stderr.write(f"{listener.getsockname()[1]}\n")
        sys.stderr.flush()
        # Nobody reads on; what comes now is not to fill the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        config = uvicorn.Config(app, log_config=None, access_log=False, loop="uvloop", http="httptools")
        uvicorn.Server(config).run([listener])


def invented(chance: random.Random) -> bytes:
    """Return a request that nobody has sent before."""
    word = f"{chance.getrandbits(64):016x}"
    method = chance.choice(("GET", "POST", "PUT", "DELETE", "PROPFIND", "PURGE", "REPORT"))
    path = chance.choice(
        ("/users/", "/", "/files/", "/ops/", "/metrics?", "/health/ready?verbose=", "/socket.io/?sid=")
    )
    trace = f"00-{chance.getrandbits(128):032x}-{word}-0{chance.randrange(2)}"
    return (
        f"{method} {path}{word}?token={word}&q={word} HTTP/1.1\r\n"
        f"host: {word}.example.org\r\nuser-agent: {word}\r\nx-request-id: {word}\r\ntraceparent: {trace}\r\n"
        f"tracestate: a{word}=1\r\nauthorization: Bearer {word}\r\ncookie: session={word}\r\nreferer: https://{word}/\r\n"
        f"x-forwarded-for: 10.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(256)}\r\n"
        f"x-{word}: {word}\r\ncontent-length: 0\r\n\r\n"
    ).encode()


class Client(asyncio.Protocol):
    """Sends the next invented request as soon as one is answered, until there are no more to send."""

    def __init__(self, left: Iterator[int], chance: random.Random) -> None:
        self._left = left
        self._chance = chance
        self.sent = 0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        self._parser = httptools.HttpResponseParser(self)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def _send(self) -> None:
        if self._transport.is_closing():
            return
        if next(self._left, None) is None:
            self._transport.close()
            return
        self.sent += 1
        self._transport.write(invented(self._chance))


async def send(port: int, requests: int, chance: random.Random) -> None:
    """Send so many requests."""
    left = iter(range(requests))
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: Client(left, chance), "127.0.0.1", port) for _ in range(CONNECTIONS)]
    await asyncio.gather(*(client.done for _, client in made))
    sent = sum(client.sent for _, client in made)
    if sent != requests:
        raise SystemExit(f"The server hung up after {sent} of {requests} requests.")


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 1e6


@contextmanager
def served(name: str, collector: str) -> Iterator[tuple[int, int]]:
    """Serve a variant in a process of its own; gives its process id and port."""
    command = [sys.executable, "-m", "benchmarks.soak", "--serve", name, "--collector", collector]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            yield process.pid, int(process.stderr.readline())
        finally:
            process.terminate()
            process.wait(30)


def measured(name: str, requests: int) -> list[float]:
    """Return the server's megabytes at the start and after each tenth of the requests."""
    chance = random.Random(name)
    collector = Collector()
    with served(name, f"http://127.0.0.1:{collector.port}") as (pid, port):
        found = [resident_mb(pid)]
        for _ in range(LOOKS):
            uvloop.run(send(port, requests // LOOKS, chance))
            collector.forget()
            found.append(resident_mb(pid))
    return found


def growth_mb(found: list[float], requests: int) -> float:
    """Return the megabytes in 100,000 requests by which the second half grew: the median of its steps."""
    steps = sorted(after - before for before, after in pairwise(found[LOOKS // 2 :]))
    return steps[len(steps) // 2] * LOOKS * 1e5 / requests


@click.command(help=__doc__.split("\n\n")[0].strip())
@click.option("--requests", default=400_000, show_default=True, type=click.IntRange(1000))
@click.option("--serve", "name", type=click.Choice(NAMES), hidden=True)
@click.option("--collector", default="", hidden=True)
def main(requests: int, name: str | None, collector: str) -> None:
    """Measure, and print."""
    if name is not None:
        serve(name, collector)
        return
    click.echo("\n".join(heading(machine(PACKAGES), f"{requests:,} requests, {CONNECTIONS} connections")))
    click.echo(f"\n{'variant':8}{'MB at the start, and after each tenth':>{7 * (LOOKS + 1)}}{'in 100,000 more':>18}")
    grew = False
    for variant in NAMES:
        found = measured(variant, requests)
        growth = growth_mb(found, requests)
        grew = grew or growth > FLAT_MB
        click.echo(f"{variant:8}{''.join(f'{mb:7.1f}' for mb in found)}{growth:17.2f}")
    sys.exit(grew)


if __name__ == "__main__":
    main()
