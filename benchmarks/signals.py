"""
What the export of log lines and metrics by OTLP costs: a request with and without it.

    python -m benchmarks.signals

Each round measures all variants in a new order. `loop` is the processor time of the event loop's thread, which is the
request path; `process` includes the threads that write, encode and send. The collector is another process.
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
from benchmarks.measuring import orders, spread

_BASE = {
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "LOG_SAMPLING_BUDGET": "999999999",
    "OTEL_BLRP_MAX_QUEUE_SIZE": "65536",
    "OTEL_METRIC_EXPORT_INTERVAL": "1000",
}
VARIANTS = {
    "off": {},
    "logs": {"OTEL_LOGS_EXPORTER": "otlp"},
    "logs and metrics": {"OTEL_LOGS_EXPORTER": "otlp", "OTEL_METRICS_EXPORTER": "otlp"},
}


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


async def burst(bundle: obs.Observability, app: Any, requests: int) -> tuple[float, float]:
    """Return the microseconds that a request took in the event loop's thread and in the whole process."""
    cycles = [Cycle() for _ in range(requests)]
    gc.collect()
    process, loop = time.process_time(), time.thread_time()
    while cycles:
        cycle = cycles.pop()
        await app(cycle.scope, cycle.receive, cycle.send)
    in_loop = time.thread_time() - loop
    await anyio.to_thread.run_sync(bundle.flush)
    return in_loop / requests * 1e6, (time.process_time() - process) / requests * 1e6


async def measured(port: int, rounds: int, requests: int) -> dict[str, tuple[list[float], list[float]]]:
    """Return the figures of each variant."""
    flags = {**_BASE, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
    bundles = [obs.Observability.from_env({**flags, **more}, log_stream=Sink()) for more in VARIANTS.values()]
    apps = [obs.build_stack(application(), bundle) for bundle in bundles]
    found: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in VARIANTS}
    for order, counts in orders(len(VARIANTS), rounds):
        for number in order:
            figures = await burst(bundles[number], apps[number], requests)
            if counts:
                for kept, figure in zip(list(found.values())[number], figures, strict=True):
                    kept.append(figure)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--requests", type=int, default=2000)
    arguments = parser.parse_args()
    receiver, sender = multiprocessing.Pipe(duplex=False)
    collector = multiprocessing.get_context("spawn").Process(target=collect, args=(sender,), daemon=True)
    collector.start()
    found = anyio.run(measured, receiver.recv(), arguments.rounds, arguments.requests)
    collector.kill()
    without = found["off"]
    print(f"{'variant':18} {'loop, us':>10} {'spread':>7} {'adds':>7} {'process, us':>12} {'adds':>7}")
    for name, (loop, process) in found.items():
        # Of each round, because the machine is not equally fast in all of them.
        added = [
            statistics.median(a - b for a, b in zip(*pair, strict=True))
            for pair in zip(found[name], without, strict=True)
        ]
        row = statistics.median(loop), spread(loop), added[0], statistics.median(process), added[1]
        print(f"{name:18} {row[0]:10.1f} {row[1]:7.1f} {row[2]:7.2f} {row[3]:12.1f} {row[4]:7.2f}")


if __name__ == "__main__":
    main()
