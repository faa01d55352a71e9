"""
What the export of log lines and metrics by OTLP costs: a request with and without it.

    python -m benchmarks.signals

Each of many short rounds measures all variants in a new order, as the processor time of the event loop's thread: the
request path, without the threads that write, encode and send. `adds` is the median of the differences to `off` in the
same round, with the interval that contains the true median with 95 % probability; `off, again` shows the error of the
method. The collector is another process.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import statistics
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import Any

import anyio

import divan_obs_asgi as obs
from benchmarks.inprocess import Cycle, Sink, application
from benchmarks.measuring import heading, interval, machine, orders, spread

_BASE = {
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "LOG_SAMPLING_BUDGET": "999999999",
    "OTEL_BLRP_MAX_QUEUE_SIZE": "65536",
    "OTEL_METRIC_EXPORT_INTERVAL": "1000",
}
VARIANTS = {
    "off": {},
    "off, again": {},
    "logs": {"OTEL_LOGS_EXPORTER": "otlp"},
    "logs and metrics": {"OTEL_LOGS_EXPORTER": "otlp", "OTEL_METRICS_EXPORTER": "otlp"},
    "exponential": {
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": "base2_exponential_bucket_histogram",
    },
}


# Rounds between two exports. An export between two bursts would separate what is compared.
_FLUSH_AFTER = 50


class Collector(BaseHTTPRequestHandler):
    """Takes everything."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing."""


def collect(sender: Connection) -> None:
    """Serve on a free port, whose number is sent to the parent."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    sender.send(server.server_port)
    server.serve_forever()


async def burst(app: Any, requests: int) -> float:
    """Return the microseconds that a request took in the event loop's thread."""
    cycles = [Cycle() for _ in range(requests)]
    started = time.thread_time()
    while cycles:
        cycle = cycles.pop()
        await app(cycle.scope, cycle.receive, cycle.send)
    return (time.thread_time() - started) / requests * 1e6


async def measured(port: int, rounds: int, requests: int) -> dict[str, list[float]]:
    """Return the figures of each variant."""
    flags = {**_BASE, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
    bundles = [obs.Observability.from_env({**flags, **more}, log_stream=Sink()) for more in VARIANTS.values()]
    apps = [obs.build_stack(application(), bundle) for bundle in bundles]
    names = list(VARIANTS)
    found: dict[str, list[float]] = {name: [] for name in names}
    gc.collect()
    # A collection visits what a burst has left, and not all modules.
    gc.freeze()
    for done, (order, counts) in enumerate(orders(len(VARIANTS), rounds)):
        if done % _FLUSH_AFTER == 0:
            for bundle in bundles:
                await anyio.to_thread.run_sync(bundle.flush)
        for number in order:
            figure = await burst(apps[number], requests)
            if counts:
                found[names[number]].append(figure)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--requests", type=int, default=50)
    arguments = parser.parse_args()
    receiver, sender = multiprocessing.Pipe(duplex=False)
    collector = multiprocessing.get_context("spawn").Process(target=collect, args=(sender,), daemon=True)
    collector.start()
    found = anyio.run(measured, receiver.recv(), arguments.rounds, arguments.requests)
    collector.kill()
    print("\n".join(heading(machine([]), f"{arguments.rounds} rounds of {arguments.requests} requests")))
    print(f"{'variant':18} {'loop, us':>10} {'spread':>7} {'adds':>7} {'95 % from':>10} {'to':>7}")
    for name, figures in found.items():
        # Of each round, because the machine is not equally fast in all of them.
        added = [figure - off for figure, off in zip(figures, found["off"], strict=True)]
        low, high = interval(added)
        row = statistics.median(figures), spread(figures), statistics.median(added), low, high
        print("{:18} {:10.1f} {:7.1f} {:7.2f} {:10.2f} {:7.2f}".format(name, *row))


if __name__ == "__main__":
    main()
