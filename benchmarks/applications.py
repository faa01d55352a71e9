"""
Milliseconds to make an application, as a fixture does for each test, and what it leaves behind.

    python -m benchmarks.applications --rounds 100 --soak 300

Made: the application alone. Lived: made, its lifespan, one request in it, and its end, with an event loop of its own.
Variants: bare; ours (`init`, lines to a file that discards them); with tracing, to a port where no collector listens.
Shown are wall time and processor time of all threads. The variants take turns, in a new order each round.

Then so many applications are made and ended, with a lifespan and a request each, or made by `wrap` and dropped. Shown
are the bundles and threads that are left, and the resident memory of the process. The exit code is 1 if more is left
than the last bundle, which the root logger keeps.
"""

from __future__ import annotations

import gc
import logging
import os
import statistics
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, cast

import anyio
import click
from asgi_lifespan import LifespanManager

import divan_obs_asgi as obs
from benchmarks.inprocess import Sink, application, new_scope
from benchmarks.measuring import heading, machine, orders, spread
from benchmarks.soak import resident_mb
from divan_obs_asgi.testing import converse

PACKAGES = ("starlette", "anyio", "asgi-lifespan", "prometheus_client", "opentelemetry-sdk", "grpcio")
PLAIN = {"OBS_TRACING_ENABLED": "false"}
# A port where nothing listens.
TRACING = {
    "OBS_TRACING_ENABLED": "true",
    "OBS_TRACING_CLIENTS": "",
    "OBS_TRACING_SHUTDOWN_TIMEOUT_S": "0.1",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
}
#: Seconds that threads have to end.
PATIENCE_S = 30.0


def bundle(flags: dict[str, str]) -> obs.Observability:
    """Return a bundle whose lines are discarded."""
    return obs.Observability.from_env(flags, log_stream=Sink())


def observed(flags: dict[str, str]) -> Any:
    """Return an application that is observed by `init`."""
    app = application()
    obs.init(app, bundle(flags))
    return app


VARIANTS: dict[str, Callable[[], Any]] = {
    "bare": application,
    "ours": lambda: observed(PLAIN),
    "with tracing": lambda: observed(TRACING),
}


async def live(app: Any) -> None:
    """Start an application, send it a request, and end it."""
    async with LifespanManager(app) as manager:
        done = await converse(cast(Any, manager.app), new_scope())
        assert done.status == 200


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return milliseconds of the clock, and of the processor."""
    gc.collect()
    clock, cpu = time.perf_counter(), time.process_time()
    work()
    return (time.perf_counter() - clock) * 1e3, (time.process_time() - cpu) * 1e3


def measured(rounds: int) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """Return the times of each round, by variant and by what was done."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    names = list(VARIANTS)
    for order, counts in orders(len(names), rounds):
        for name in map(names.__getitem__, order):
            make = VARIANTS[name]
            for what, work in (("made", make), ("lived", lambda make=make: anyio.run(live, make()))):
                times = timed(cast(Callable[[], object], work))
                if counts:
                    found.setdefault((name, what), []).append(times)
    return found


def end_with_lifespan(flags: dict[str, str]) -> weakref.ref[obs.Observability]:
    """Make an application, let it live, and return what was its bundle."""
    made = bundle(flags)
    anyio.run(live, obs.wrap(cast(Any, application()), made))
    return weakref.ref(made)


def drop(flags: dict[str, str]) -> weakref.ref[obs.Observability]:
    """Make an application by `wrap`, send it a request without lifespan, and return what was its bundle."""
    made = bundle(flags)
    anyio.run(converse, obs.wrap(cast(Any, application()), made), new_scope())
    return weakref.ref(made)


SOAKS: dict[str, tuple[Callable[[dict[str, str]], weakref.ref[obs.Observability]], dict[str, str]]] = {
    "lifespan": (end_with_lifespan, PLAIN),
    "lifespan, tracing": (end_with_lifespan, TRACING),
    "wrap, dropped": (drop, PLAIN),
    "wrap, dropped, tracing": (drop, TRACING),
}


def threads() -> int:
    """Return the number of our threads."""
    return sum(thread.name.startswith("divan") for thread in threading.enumerate())


def soaked(name: str, count: int) -> tuple[int, int, float, float]:
    """Return the bundles and threads that so many applications leave, and the megabytes before and after."""
    one, flags = SOAKS[name]
    gc.collect()
    threads_before, before = threads(), resident_mb(os.getpid())
    made = [one(flags) for _ in range(count)]

    def left() -> tuple[int, int]:
        gc.collect()
        return sum(ref() is not None for ref in made), threads() - threads_before

    deadline = time.monotonic() + PATIENCE_S
    bundles, more = left()
    while (bundles > 1 or more > 0) and time.monotonic() < deadline:
        time.sleep(0.05)
        bundles, more = left()
    return bundles, max(more, 0), before, resident_mb(os.getpid())


@click.command(help=__doc__.split("\n\n")[0].strip())
@click.option("--rounds", default=50, show_default=True, type=click.IntRange(5))
@click.option("--soak", default=300, show_default=True, type=click.IntRange(0), help="Applications made and ended.")
def main(rounds: int, soak: int) -> None:
    """Measure, and print."""
    click.echo("\n".join(heading(machine(PACKAGES), f"{rounds} rounds, medians (distance between quartiles)")))
    found = measured(rounds)
    click.echo(f"\n{'ms':14}{'made':>8}{'':8}{'processor':>10}{'lived':>10}{'':8}{'processor':>10}")
    for name in VARIANTS:
        cells = ""
        for what in ("made", "lived"):
            clock, cpu = zip(*found[name, what], strict=True)
            cells += f"{statistics.median(clock):8.2f} ({spread(clock):5.2f}){statistics.median(cpu):10.2f}  "
        click.echo(f"{name:14}{cells}")
    if not soak:
        return
    # Each bundle logs once that the collector is unreachable, through the present root logger.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    click.echo(f"\n{f'{soak} applications':26}{'bundles left':>14}{'threads left':>14}{'MB before':>11}{'after':>8}")
    leaks = False
    for name in SOAKS:
        bundles, more, before, after = soaked(name, soak)
        leaks = leaks or bundles > 1 or more > 0
        click.echo(f"{name:26}{bundles:14}{more:14}{before:11.1f}{after:8.1f}")
    sys.exit(leaks)


if __name__ == "__main__":
    main()
