"""
Microseconds to count a request, and milliseconds to scrape: our metrics beside others.

    python -m benchmarks.metrics --rounds 300
    python -m benchmarks.metrics --part scrape

Requests. Around one Starlette app with one route: ours (`MetricsMiddleware` with all of its families, in a stack
whose record is open already, as beside any other of our middlewares: what is subtracted is a middleware that opens
the record and does nothing), sampled (the same where the request's trace is sampled, and is the exemplar), alone (the
middleware and nothing else, with the record in the figure), starlette_exporter, and prometheus-fastapi-instrumentator
with a counter and a histogram. Around the same route on FastAPI: its native metrics. Each is proved before it is
timed. overhead.py explains the measurement; here it is processor time of the thread.

Scrapes: scrapes.py.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click
import orjson
import uvloop
from fastapi import FastAPI
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_fastapi_instrumentator import metrics as instrumentator
from prometheus_fastapi_instrumentator.instrumentation import PrometheusFastApiInstrumentator
from starlette.middleware import Middleware
from starlette.types import ASGIApp
from starlette_exporter import PrometheusMiddleware

import divan_obs_asgi as obs
from benchmarks import inprocess, scrapes
from benchmarks.inprocess import BUCKETS, ROUTE, Misconfigured, application
from benchmarks.measuring import heading, machine, orders, spread
from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.middlewares import MetricsMiddleware
from divan_obs_asgi.types import Scope

PACKAGES = (
    "starlette",
    "fastapi",
    "starlette_exporter",
    "prometheus-fastapi-instrumentator",
    "prometheus_client",
    "opentelemetry-sdk",
    "uvloop",
)
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
# Microseconds that our middleware may add.
TARGET_US = 3.0


class OpenRecord(obs.RecordMiddleware):
    """Opens the record, as whichever of our middlewares comes first does."""

    component = "benchmark"

    def observe(self, scope: Scope, record: RequestRecord) -> None:
        return None


class Sampled(OpenRecord):
    """As the tracing middleware does where a trace is sampled."""

    def observe(self, scope: Scope, record: RequestRecord) -> None:
        record.trace_id, record.sampled = TRACE_ID, True


@dataclass(frozen=True)
class Counting:
    """
    An app that counts its requests.

    Attributes:
        without: the same that does not, to be subtracted.
        counted: how many it has counted.
    """

    app: ASGIApp
    without: ASGIApp
    counted: Callable[[], float]


def ours() -> Counting:
    return counting(OpenRecord)


def sampled() -> Counting:
    return counting(Sampled)


def alone() -> Counting:
    return counting()


def counting(*around: type[obs.RecordMiddleware], **environ: str) -> Counting:
    """Return ours, within these middlewares and with these flags."""
    bundle = obs.Observability.from_env(environ, log_stream=inprocess.Sink())
    labels = {"route": ROUTE, "method": "GET", "status": "200"}
    return Counting(
        obs.build_stack(application(), bundle, [*around, MetricsMiddleware]),
        obs.build_stack(application(), bundle, list(around)),
        lambda: bundle.metrics.registry.get_sample_value("divan_http_requests_total", labels) or 0.0,
    )


def starlette_exporter() -> Counting:
    app = application(Middleware(PrometheusMiddleware, prefix="benchmark", buckets=BUCKETS))
    labels = {"method": "GET", "path": ROUTE, "status_code": "200", "app_name": "starlette"}
    return Counting(app, application(), lambda: REGISTRY.get_sample_value("benchmark_requests_total", labels) or 0.0)


def prometheus_fastapi_instrumentator() -> Counting:
    app, registry = application(), CollectorRegistry()
    # Its default is a counter, two summaries and two histograms; the job asks for one counter and one histogram.
    PrometheusFastApiInstrumentator(should_group_status_codes=False, registry=registry).add(
        instrumentator.requests(registry=registry), instrumentator.latency(registry=registry, buckets=BUCKETS)
    ).instrument(app)
    labels = {"method": "GET", "handler": ROUTE, "status": "200"}
    return Counting(app, application(), lambda: registry.get_sample_value("http_requests_total", labels) or 0.0)


def fastapi() -> Counting:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])

    def counted() -> float:
        data = reader.get_metrics_data()
        points = [
            point
            for resource in (data.resource_metrics if data is not None else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == "http.server.request.duration"
            for point in metric.data.data_points
        ]
        return float(sum(getattr(point, "count", 0) for point in points))

    off = {"tracing": False, "metrics": False, "logs": False}
    return Counting(_fastapi({**off, "metrics": True, "meter_provider": provider}), _fastapi(off), counted)


def _fastapi(telemetry: Any) -> FastAPI:
    app = FastAPI(telemetry=telemetry)

    @app.get(ROUTE)
    async def user(user_id: str) -> dict[str, object]:
        return {"id": user_id, "name": "Ada", "online": True}

    return app


MAKERS: tuple[Callable[[], Counting], ...] = (
    ours,
    sampled,
    alone,
    starlette_exporter,
    prometheus_fastapi_instrumentator,
    fastapi,
)


async def verify(name: str, counting: Counting) -> None:
    """
    Send two requests.

    Raises:
        Misconfigured: where they are not answered or not counted.
    """
    before = counting.counted()
    cycles = [inprocess.KeepingCycle(), inprocess.KeepingCycle()]
    for cycle in cycles:
        await counting.app(cycle.scope, cycle.receive, cycle.send)
    if [cycle.sent[0]["status"] for cycle in cycles] != [200, 200] or counting.counted() != before + 2:
        raise Misconfigured(f"{name}: expected 2 requests, answered and counted.")


async def burst(app: ASGIApp, requests: int) -> float:
    """Return the microseconds of processor time that a request took, over `requests` of them one after the other."""
    cycles = [inprocess.Cycle() for _ in range(requests)]
    gc.collect()
    start = time.thread_time()
    while cycles:
        cycle = cycles.pop()
        await app(cycle.scope, cycle.receive, cycle.send)
    return (time.thread_time() - start) / requests * 1e6


async def measured(variants: Mapping[str, Counting], rounds: int, requests: int) -> list[dict[str, Any]]:
    """Return what each variant adds to a request; the first is ours."""
    first = next(iter(variants))
    for name, counting in variants.items():
        await verify(name, counting)
    gc.collect()
    gc.freeze()
    apps = [app for counting in variants.values() for app in (counting.app, counting.without)]
    bursts: list[list[float]] = [[] for _ in apps]
    for order, counts in orders(len(apps), rounds):
        for index in order:
            took_us = await burst(apps[index], requests)
            if counts:
                bursts[index].append(took_us)
    added = {
        name: [took - without for took, without in zip(bursts[2 * n], bursts[2 * n + 1], strict=True)]
        for n, name in enumerate(variants)
    }
    return [
        {
            "name": name,
            "added_us": statistics.median(figures),
            "least_us": min(bursts[2 * n]) - min(bursts[2 * n + 1]),
            "spread_us": spread(figures),
            "times_ours": statistics.median(figures) / statistics.median(added[first]),
            "target_us": TARGET_US if name == first else None,
        }
        for n, (name, figures) in enumerate(added.items())
    ]


def report(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the figures as lines of a table for people."""
    lines = [f"{'µs of a processor per request':34} {'added':>7} {'least':>7} {'spread':>7} {'times ours':>11}"]
    for row in rows:
        target = row["target_us"]
        verdict = "" if target is None else f"  target {target:.0f}: {_verdict(row['added_us'] <= target)}"
        figures = f"{row['added_us']:7.2f} {row['least_us']:7.2f} {row['spread_us']:7.2f} {row['times_ours']:11.1f}"
        lines.append(f"{row['name']:34} {figures}{verdict}")
    return lines


def _verdict(reached: bool) -> str:
    return "reached" if reached else "NOT REACHED"


@click.command(help=__doc__.split("\n\n")[0].strip())
@click.option("--rounds", default=300, show_default=True, type=click.IntRange(1))
@click.option("--requests", default=200, show_default=True, type=click.IntRange(1, 500), help="Per round and variant.")
@click.option("--scrapes", "count", default=30, show_default=True, type=click.IntRange(1), help="Of each kind.")
@click.option("--part", type=click.Choice(["requests", "scrape"]), help="This part only.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(rounds: int, requests: int, count: int, part: str | None, as_json: bool) -> None:
    """Measure, and print; the exit code says nothing about the figures."""
    result: dict[str, Any] = {"machine": machine(PACKAGES)}
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if part != "requests":
            result["scrapes"] = runner.run(scrapes.measured(count))
        if part != "scrape":
            result["requests"] = runner.run(measured({maker.__name__: maker() for maker in MAKERS}, rounds, requests))
    if as_json:
        click.echo(orjson.dumps(result, option=orjson.OPT_INDENT_2))
        return
    click.echo("\n".join(heading(result["machine"], f"{rounds} rounds of {requests} requests, {count} scrapes")))
    for name, table in (("requests", report), ("scrapes", scrapes.report)):
        if name in result:
            click.echo("\n" + "\n".join(table(result[name])))


if __name__ == "__main__":
    main()
