"""
Microseconds that observing a request costs, in process: this stack against what a team assembles today.

    python -m benchmarks.overhead --rounds 300

Four variants of one Starlette app with one route: bare; ours (`build_stack` with every middleware); assembled
(asgi-correlation-id, opentelemetry-instrumentation-asgi without send/receive spans, starlette_exporter, structlog);
leanest (Starlette's own OpenTelemetryMiddleware, prometheus-fastapi-instrumentator, asgi-correlation-id, structlog).
All do one job: a request id in and out, a server span to the SDK's BatchSpanProcessor, a counter and a histogram,
one JSON line with twelve fields for every request. Each is proved to do it before it is timed (inprocess.verify).

How it is measured. All variants live in one process on uvloop. A round times each of them once, in a new order every
time, over some hundred requests one after the other; each request has a fresh scope with ten headers, no traceparent
and no request id. What a variant adds is taken from the bare app's time in the same round, a ratio from two times of
one round, so that a machine that slows down for a second slows all of them; figures are medians over the rounds. It is
processor time, of all threads together, so that what others do on the machine is not in it, but for its caches.
Exporter and log file throw away what they are given. The span queue is emptied between the timings: serialising and
sending spans is not in the figures; a queue of log lines is emptied within them. The garbage collector runs as in a
server (default thresholds, frozen after start-up) and is called before each timing.
"""

from __future__ import annotations

import asyncio
import cProfile
import gc
import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import CodeType
from typing import Any, TypeAlias, get_args

import click
import orjson
import uvloop

from benchmarks import inprocess, ours, peers
from benchmarks.inprocess import MODES, Mode, Variant
from benchmarks.measuring import heading, machine, orders, spread

# Microseconds a request of one variant, round by round.
Bursts: TypeAlias = list[float]

MAKERS: dict[str, Callable[[Mode], Variant]] = {
    "ours": ours.ours,
    "assembled": peers.assembled,
    "leanest": peers.leanest,
}
# How many times cheaper than what `assembled` adds ours is meant to be.
TARGETS: dict[Mode, float] = {"on": 4.5, "0.1": 6.5}
PACKAGES = (
    "starlette",
    "asgi-correlation-id",
    "opentelemetry-sdk",
    "opentelemetry-instrumentation-asgi",
    "starlette_exporter",
    "prometheus-fastapi-instrumentator",
    "prometheus_client",
    "structlog",
    "orjson",
    "uvloop",
)


async def timed(variants: Sequence[Variant], rounds: int, requests: int) -> list[Bursts]:
    """Return for each of `variants` the microseconds a request took, round by round."""
    bursts: list[Bursts] = [[] for _ in variants]
    for order, counts in orders(len(variants), rounds):
        for index in order:
            took_us = await inprocess.burst(variants[index], requests)
            if counts:
                bursts[index].append(took_us)
    return bursts


async def measured(names: Sequence[str], modes: Sequence[Mode], rounds: int, requests: int) -> dict[str, Any]:
    """Return what each variant costs, what it adds to the bare app, and how many times more the peers add than ours."""
    variants = [MAKERS[name](mode) for mode in modes for name in names]
    for variant in variants:
        await inprocess.verify(variant)
    gc.collect()
    gc.freeze()
    bare, *others = await timed([inprocess.bare(), *variants], rounds, requests)
    bursts = {(variant.name, variant.mode): took_us for variant, took_us in zip(variants, others, strict=True)}
    rows = [{"name": "bare", "mode": None, **_row(bare, bare)}]
    rows += [{"name": name, "mode": mode, **_row(took_us, bare)} for (name, mode), took_us in bursts.items()]
    return {
        "machine": machine(PACKAGES),
        "rounds": rounds,
        "requests": requests,
        "results": rows,
        "ratios": ratios(bursts, bare),
    }


def ratios(bursts: Mapping[tuple[str, Mode], Bursts], bare: Bursts) -> list[dict[str, Any]]:
    """Return how many times more each peer costs than ours in the same mode: what it adds, and the whole request."""
    found: list[dict[str, Any]] = []
    for (name, mode), peer in bursts.items():
        own = bursts.get(("ours", mode))
        if own is None or name == "ours":
            continue
        target = TARGETS.get(mode) if name == "assembled" else None
        added = statistics.median((p - b) / (o - b) for p, o, b in zip(peer, own, bare, strict=True))
        total = statistics.median(p / o for p, o in zip(peer, own, strict=True))
        reached = None if target is None else added >= target
        found.append({"peer": name, "mode": mode, "added": added, "total": total, "target": target, "reached": reached})
    return found


def _row(bursts: Bursts, bare: Bursts) -> dict[str, float]:
    return {
        "total_us": statistics.median(bursts),
        "added_us": statistics.median(took - without for took, without in zip(bursts, bare, strict=True)),
        "spread_us": spread(bursts),
    }


def report(result: dict[str, Any]) -> str:
    """Return the result as two tables for people."""
    rounds = f"medians over {result['rounds']} rounds of {result['requests']} requests"
    lines = [
        *heading(result["machine"], rounds),
        "",
        f"{'µs per request':30} {'variant':10} {'total':>7} {'added':>7} {'spread':>7}",
    ]
    for row in result["results"]:
        what = MODES[row["mode"]] if row["mode"] else "no observing at all"
        lines.append(
            f"{what:30} {row['name']:10} {row['total_us']:7.1f} {row['added_us']:7.1f} {row['spread_us']:7.1f}"
        )
    lines += ["", f"{'times the cost of ours':30} {'peer':10} {'added':>7} {'total':>7}  target for what is added"]
    for row in result["ratios"]:
        target = "" if row["target"] is None else f"{row['target']}: {'reached' if row['reached'] else 'NOT REACHED'}"
        lines.append(
            f"{MODES[row['mode']]:30} {row['peer']:10} {row['added']:7.1f} {row['total']:7.1f}  {target}".rstrip()
        )
    return "\n".join(lines)


async def profiled(variant: Variant, requests: int, *, verify: bool = True) -> str:
    """Return where a request of `variant` spends its time, function by function, dearest first."""
    if verify:
        await inprocess.verify(variant)
    what = f"{variant.name}, {MODES[variant.mode]}"
    return await profile_of(lambda: inprocess.burst(variant, requests), what, requests, inprocess.__file__)


async def profile_of(burst: Callable[[], Awaitable[float]], what: str, times: int, ground: str, most: int = 45) -> str:
    """
    Return where a burst spends its time, function by function, dearest first.

    cProfile makes every call dearer, so its times are scaled to the median without it: read them as shares,
    and trust the calls.

    Args:
        burst: does something `times` times, and returns the microseconds that one took.
        ground: the file that belongs to the measurement.
    """
    gc.collect()
    gc.freeze()
    plain_us = statistics.median([await burst() for _ in range(50)])
    profiler = cProfile.Profile(builtins=True)
    for _ in range(20):
        profiler.enable()
        await burst()
        profiler.disable()
    entries = [entry for entry in profiler.getstats() if not _is_ground(entry.code, ground)]
    scale = plain_us / sum(entry.inlinetime for entry in entries)
    entries.sort(key=lambda entry: -entry.inlinetime)
    lines = [f"{what}: {plain_us:.1f} µs each without the profiler", f"{'own µs':>7} {'calls':>6}  function"]
    for entry in entries[:most]:
        own_us = entry.inlinetime * scale
        lines.append(f"{own_us:7.2f} {entry.callcount / (20 * times):6.1f}  {_place(entry.code)}")
    return "\n".join(lines)


def _is_ground(code: object, file: str) -> bool:
    """Return whether it belongs to the measurement: the burst itself, its scopes and the collection before it."""
    if isinstance(code, CodeType):
        return code.co_filename == file and code.co_name not in ("write", "user")
    return "gc.collect" in str(code) or "_lsprof.Profiler" in str(code)


def _place(code: object) -> str:
    """Return `package/file.py:line name` of a function, or the name of a built-in one."""
    if isinstance(code, str):
        return code
    filename = getattr(code, "co_filename", "").rpartition("site-packages/")[2]
    return (
        f"{'/'.join(filename.split('/')[-3:])}:{getattr(code, 'co_firstlineno', 0)} {getattr(code, 'co_qualname', '?')}"
    )


@click.command(help=__doc__.split("\n\n")[0].strip())
@click.option("--rounds", default=300, show_default=True, type=click.IntRange(1))
@click.option("--requests", default=200, show_default=True, type=click.IntRange(1, 500), help="Per round and variant.")
@click.option("--only", multiple=True, type=click.Choice(list(MAKERS)), help="These variants, beside the bare app.")
@click.option("--mode", "modes", multiple=True, type=click.Choice(get_args(Mode)), help="These modes of tracing.")
@click.option("--profile", type=click.Choice(list(MAKERS)), help="Print where this one spends its time instead.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(
    rounds: int, requests: int, only: Sequence[str], modes: Sequence[Mode], profile: str | None, as_json: bool
) -> None:
    """Measure, and print; the exit code says nothing about the figures."""
    modes = modes or tuple(MODES)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if profile:
            for mode in modes:
                click.echo(runner.run(profiled(MAKERS[profile](mode), requests)) + "\n")
            return
        result = runner.run(measured(only or tuple(MAKERS), modes, rounds, requests))
    click.echo(orjson.dumps(result, option=orjson.OPT_INDENT_2) if as_json else report(result))


if __name__ == "__main__":
    main()
