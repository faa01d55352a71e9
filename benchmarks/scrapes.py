"""
Milliseconds that a scrape of 10,000 series takes, and the longest for which the event loop stands still meanwhile.

Two thirds of the series are of histograms, as in a real service, each with an exemplar in most of its buckets. The
page is asked for as Prometheus does, through `/metrics`, in text and in OpenMetrics, plain and compressed; beside it
prometheus_client's `generate_latest`, called on the event loop and in a thread. Meanwhile a task of the same event
loop sleeps for two milliseconds time and again: by how much it comes too late is a stall. On a machine whose cores
others use as well a stall is partly theirs: then the median says more than the worst.
"""

from __future__ import annotations

import asyncio
import gc
import gzip
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from prometheus_client.exposition import generate_latest

import divan_obs_asgi as obs
from divan_obs_asgi.metrics.fast_counters import FastBuckets
from divan_obs_asgi.middlewares import OpsMiddleware
from divan_obs_asgi.testing import converse, http_scope
from divan_obs_asgi.types import ASGIApp

SERIES = 10_000
TARGET_SCRAPE_MS = 10.0
TARGET_STALL_MS = 8.0
# uvloop counts in milliseconds: with less than one it would never sleep, and compete for the interpreter.
_TICK_S = 0.002
Scrape = Callable[[], Awaitable[bytes]]


def filled() -> obs.Observability:
    """Return a bundle with ten thousand series, two thirds of them in histograms."""
    bundle = obs.Observability.from_env(
        {"OBS_METRICS_PUBLIC": "true", "OBS_ENV": "dev", "OBS_WATCHDOG_ENABLED": "false"}
    )
    metrics = bundle.metrics
    routes = [f"/api/v1/things/{{id}}/parts/{number}" for number in range(130)]
    values = random.Random(10)
    for route in routes:
        for method in ("GET", "POST", "DELETE"):
            duration = FastBuckets(metrics.http_duration.labels(route, method))
            for _ in range(200):
                duration.observe(values.expovariate(5), (f"{values.getrandbits(128):032x}", values.uniform(1e9, 2e9)))
        for status in ("200", "404", "500"):
            metrics.http_requests.labels(route, "GET", status).inc(values.randrange(10**7))
    gauges = metrics.gauge("queue_depth", "Depth of a queue.", ["queue"])
    counters = [metrics.counter(f"work_{n}_total", "Work.", ["queue", "kind"]) for n in range(9)]
    for number in range(450):
        gauges.labels(f"queue {number}").set(number / 7)
    missing = SERIES - series(bundle)
    for number in range(missing):
        counters[number % len(counters)].labels(f"queue {number}", "slow").inc(values.randrange(10**5))
    return bundle


def series(bundle: obs.Observability) -> int:
    """Return how many lines of a page are series."""
    return sum(not line.startswith("#") for line in bundle.metrics.render().decode().splitlines())


async def _nothing(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("the application was called")


def kinds(bundle: obs.Observability) -> dict[str, Scrape]:
    """Return the ways to make a page."""
    stack = obs.build_stack(_nothing, bundle, [OpsMiddleware])
    registry = bundle.metrics.registry

    async def nothing() -> bytes:
        await asyncio.sleep(0.02)
        return b""

    async def on_the_loop() -> bytes:
        return generate_latest(registry)

    async def in_a_thread() -> bytes:
        return await asyncio.to_thread(generate_latest, registry)

    async def in_a_thread_gzip() -> bytes:
        return await asyncio.to_thread(lambda: gzip.compress(generate_latest(registry)))

    return {
        "nothing, for 20 ms": nothing,
        "ours, text": _asked(stack),
        "ours, text, gzip": _asked(stack, (b"accept-encoding", b"gzip")),
        "ours, OpenMetrics": _asked(stack, _OPENMETRICS),
        "ours, OpenMetrics, gzip": _asked(stack, _OPENMETRICS, (b"accept-encoding", b"gzip")),
        "generate_latest on the loop": on_the_loop,
        "generate_latest in a thread": in_a_thread,
        "generate_latest in a thread, gzip": in_a_thread_gzip,
    }


_OPENMETRICS = (b"accept", b"application/openmetrics-text;version=1.0.0,text/plain;q=0.5")


def _asked(stack: ASGIApp, *headers: tuple[bytes, bytes]) -> Scrape:
    async def scrape() -> bytes:
        done = await converse(stack, http_scope("/metrics", headers=headers))
        assert done.status == 200, done
        return done.body

    return scrape


async def _stalls(found: list[float]) -> None:
    """Note by how many milliseconds the event loop wakes this task too late, until cancelled."""
    while True:
        before = time.perf_counter()
        await asyncio.sleep(_TICK_S)
        found.append((time.perf_counter() - before - _TICK_S) * 1e3)


async def measured(count: int) -> list[dict[str, Any]]:
    """Return wall time, processor time and the longest stall of each kind of scrape."""
    bundle = filled()
    ways = kinds(bundle)
    took: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ways}
    size: dict[str, int] = {}
    gc.collect()
    gc.freeze()
    for number in range(count + 1):
        for name, scrape in ways.items():
            figures, body = await _one(scrape)
            size[name] = len(body)
            if number:  # The first makes what is kept.
                took[name].append(figures)
            # A costly page is kept for a second.
            await asyncio.sleep(0.3 if name.startswith("ours") else 0)
    return [_row(name, took[name], size[name], series(bundle)) for name in ways]


async def _one(scrape: Scrape) -> tuple[tuple[float, float, float], bytes]:
    stalls: list[float] = []
    watch = asyncio.create_task(_stalls(stalls))
    await asyncio.sleep(0.005)
    stalls.clear()
    start, spent = time.perf_counter(), time.process_time()
    body = await scrape()
    wall_ms, cpu_ms = (time.perf_counter() - start) * 1e3, (time.process_time() - spent) * 1e3
    await asyncio.sleep(0.005)
    watch.cancel()
    return (wall_ms, cpu_ms, max(stalls)), body


def _row(name: str, took: Sequence[tuple[float, float, float]], size: int, count: int) -> dict[str, Any]:
    wall, cpu, stall = (list(figures) for figures in zip(*took, strict=True))
    return {
        "name": name,
        "series": count,
        "bytes": size,
        "wall_ms": statistics.median(wall),
        "cpu_ms": statistics.median(cpu),
        "stall_ms": statistics.median(stall),
        "worst_stall_ms": max(stall),
    }


def report(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the figures as lines of a table for people."""
    lines = [
        f"targets of ours: {TARGET_SCRAPE_MS:.0f} ms in all, {TARGET_STALL_MS:.0f} ms of a stall",
        f"{rows[0]['series']} series, ms".ljust(34) + f" {'wall':>7} {'cpu':>7} {'stall':>7} {'worst':>7} {'bytes':>9}",
    ]
    lines += [
        f"{row['name']:34} {row['wall_ms']:7.1f} {row['cpu_ms']:7.1f} {row['stall_ms']:7.1f} "
        f"{row['worst_stall_ms']:7.1f} {row['bytes']:9}"
        for row in rows
    ]
    return lines


__all__ = ["measured", "report"]
