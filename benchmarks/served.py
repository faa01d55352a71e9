"""
Requests a second of a served application whose spans are exported, by uvicorn to a collector that forgets them.

    python -m benchmarks.served --rounds 5

Variants: bare; ours (`TracingMiddleware` alone); contrib (opentelemetry-instrumentation-asgi without send and receive
spans); starlette (its OpenTelemetryMiddleware). Every span is recorded and sent by OTLP over gRPC: ours by our queue,
the peers' by the SDK's batch processor, both with their defaults. The server is kept on one core; load and collector,
which decodes nothing, are on another. In a round each variant is asked for some seconds, in a new order every time;
figures are medians over the rounds. A variant that sends the collector nothing ends the measurement.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any, cast

import click
import grpc
import uvloop

from benchmarks.inprocess import SERVICE, Sink, application
from benchmarks.measuring import machine
from benchmarks.overhead import PACKAGES as OVERHEAD_PACKAGES

NAMES = ("bare", "ours", "contrib", "starlette")
PACKAGES = ("uvicorn", "httptools", "grpcio")
CONNECTIONS = 32
REQUEST = (
    b"GET /users/42 HTTP/1.1\r\nhost: api.example.org\r\naccept: application/json\r\n"
    b"user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:145.0)\r\naccept-encoding: gzip\r\n\r\n"
)
# {"id":"42","name":"Ada","online":true}
ANSWER_ENDS = b'"online":true}'


def app_of(name: str, collector: str) -> Any:
    """Return the application of one variant, with its exporter."""
    import divan_obs_asgi as obs
    from divan_obs_asgi.middlewares import TracingMiddleware

    if name == "bare":
        return application()
    if name == "ours":
        flags = {
            "OBS_TRACING_ENABLED": "true",
            "OBS_SERVICE_NAME": SERVICE,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
        }
        return obs.build_stack(application(), obs.Observability.from_env(flags, log_stream=Sink()), [TracingMiddleware])

    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware as ContribMiddleware
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from starlette.middleware import Middleware
    from starlette.middleware.opentelemetry import OpenTelemetryMiddleware as NativeMiddleware

    provider = TracerProvider(resource=Resource.create({"service.name": SERVICE}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=collector)))
    if name == "contrib":
        return application(Middleware(ContribMiddleware, tracer_provider=provider, exclude_spans=["send", "receive"]))
    return application(Middleware(NativeMiddleware, tracer_provider=provider))


def serve(name: str, collector: str) -> None:
    """Serve one variant on a free port, and say which."""
    import gc
    import socket

    import uvicorn

    app = app_of(name, collector)
    gc.freeze()
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        print(listener.getsockname()[1], flush=True)
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", loop="uvloop", http="httptools")
        uvicorn.Server(config).run([listener])


class Collector:
    """A gRPC server that decodes what it got only when it is asked for the number of spans."""

    def __init__(self) -> None:
        self._requests: list[bytes] = []
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
        method: Any = grpc.unary_unary_rpc_method_handler(self._export)
        service = "opentelemetry.proto.collector.trace.v1.TraceService"
        handlers: Any = grpc
        self._server.add_generic_rpc_handlers((handlers.method_handlers_generic_handler(service, {"Export": method}),))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def _export(self, request: bytes, context: object) -> bytes:
        self._requests.append(request)
        return b""

    def forget(self) -> None:
        """Let go of what has come."""
        self._requests.clear()

    def spans(self) -> int:
        """Return how many spans have come since the last call."""
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        requests, self._requests = self._requests, []
        decoded = map(ExportTraceServiceRequest.FromString, requests)
        return sum(
            len(scope.spans) for one in decoded for resource in one.resource_spans for scope in resource.scope_spans
        )


class Client(asyncio.Protocol):
    """Asks again as soon as it is answered."""

    def __init__(self) -> None:
        self.answered = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        self._transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        if data.endswith(ANSWER_ENDS):
            self.answered += 1
            self._transport.write(REQUEST)


async def load(port: int, seconds: float) -> tuple[float, int]:
    """Return the requests a second that are answered, after a second of warming up, and how many there were in all."""
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(Client, "127.0.0.1", port) for _ in range(CONNECTIONS)]
    clients = [client for _, client in made]
    await asyncio.sleep(1.0)
    before, started = sum(client.answered for client in clients), time.perf_counter()
    await asyncio.sleep(seconds)
    answered, took_s = sum(client.answered for client in clients) - before, time.perf_counter() - started
    for transport, _ in made:
        transport.close()
    return answered / took_s, sum(client.answered for client in clients)


@contextlib.contextmanager
def served(name: str, collector: str, core: int) -> Iterator[int]:
    """Serve a variant in a process of its own; gives its port."""
    command = [sys.executable, "-m", "benchmarks.served", "--serve", name, "--collector", collector]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            os.sched_setaffinity(process.pid, {core})
            yield port
        finally:
            process.terminate()
            process.wait(10)


@dataclass
class Found:
    """Of one variant, round by round: requests a second, and the share of requests whose span the collector got."""

    rates: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)


def measured(rounds: int, seconds: float) -> dict[str, Found]:
    """Return what was found for each variant."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})
    collector = Collector()
    found = {name: Found() for name in NAMES}
    for number in range(rounds):
        order = list(NAMES)
        random.Random(number).shuffle(order)
        for name in order:
            with served(name, f"http://127.0.0.1:{collector.port}", cores[0]) as port:
                rate, requests = uvloop.run(load(port, seconds))
            spans = collector.spans()
            if (spans == 0) != (name == "bare"):
                raise SystemExit(f"{name}: the collector got {spans} spans.")
            found[name].rates.append(rate)
            found[name].shares.append(spans / requests)
    return found


def report(found: dict[str, Found], rounds: int, seconds: float) -> str:
    """Return the result as a table for people."""
    about = machine(list(dict.fromkeys((*OVERHEAD_PACKAGES, *PACKAGES))))
    own = statistics.median(found["ours"].rates)
    bare = statistics.median(found["bare"].rates)
    lines = [
        f"{about['python']}, {about['cores']} cores, load {about['load']}; {CONNECTIONS} connections; "
        f"medians over {rounds} rounds of {seconds:.0f} s",
        ", ".join(f"{name} {version}" for name, version in about["packages"].items()),
        "",
        f"{'variant':10} {'requests/s':>10} {'least':>8} {'most':>8} {'µs more':>8} {'ours is':>8} {'arrived':>14}",
    ]
    for name, one in found.items():
        rate = statistics.median(one.rates)
        more_us = 1e6 / rate - 1e6 / bare
        lines.append(
            f"{name:10} {rate:10.0f} {min(one.rates):8.0f} {max(one.rates):8.0f} {more_us:8.1f} {own / rate:7.2f}x "
            f"{statistics.median(one.shares):14.0%}"
        )
    return "\n".join(lines)


@click.command(help=__doc__.split("\n\n")[0].strip())
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1))
@click.option("--seconds", default=4.0, show_default=True, type=click.FloatRange(1))
@click.option("--serve", "name", type=click.Choice(NAMES), hidden=True)
@click.option("--collector", default="", hidden=True)
def main(rounds: int, seconds: float, name: str | None, collector: str) -> None:
    """Measure, and print; the exit code says nothing about the figures."""
    if name is not None:
        serve(name, collector)
    else:
        click.echo(report(measured(rounds, seconds), rounds, seconds))


if __name__ == "__main__":
    main()
