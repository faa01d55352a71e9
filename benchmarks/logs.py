"""
What a log line costs, how many a second reach a file or a slow pipe, and whether a stuck sink stops the event loop.

    python -m benchmarks.logs --rounds 200 --seconds 2

Three tables, of one finished request's line in twelve fields as JSON (lines.py): ours, structlog with orjson,
python-json-logger with its orjson formatter, and the standard library with `json.dumps`.

1. Microseconds of processor time that a line takes, in all threads together. A round times each way once, in a new
   order every time; the sink throws away. Ours queues and writes in a thread; the queue is written out before the clock
   stops, and what its caller waits for that on a busy machine is not counted. Medians over the rounds.
   `dropped` is what sampling leaves out; `recorded` is a DEBUG line of the application that the flight recorder keeps,
   LogRecord and redaction included.
2. Lines a second that arrived, offered as fast as the caller can: in a file, and in a pipe whose reader, another
   process, takes 64 KiB every 50 ms. Where the sink is slower than the caller, the others make the caller wait; ours
   drops INFO and counts it. `caller` is how many it could offer.
3. The delay of an event loop that logs two lines every millisecond, with a sink that takes everything at once and with
   one that blocks for a second in every two. Rounds alternate; the figures are of all delays together.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import click
import orjson
import uvloop

from benchmarks import lines
from benchmarks.inprocess import Misconfigured, Sink
from benchmarks.lines import WAYS, Stream, Way
from benchmarks.measuring import heading, machine, orders

PACKAGES = ("structlog", "python-json-logger", "orjson", "uvloop")
TARGETS_US = {"ours": 5.0, "ours, dropped": 1.0}
# Takes 64 KiB every 50 ms, and prints at the end how many lines that were.
_SLOW_READER = """
import os, time
lines = 0
while data := os.read(0, 65536):
    lines += data.count(b"\\n")
    time.sleep(0.05)
print(lines)
"""


# 1. What a line takes its caller.


def costs(rounds: int, count: int) -> list[dict[str, Any]]:
    """Return the microseconds of a line, by each way."""
    makers = [*WAYS.values(), lines.ours_sampled_out, lines.ours_recorded]
    lines.verify(list(WAYS.values()))
    lines.verify_ends()
    ways = [make(Sink()) for make in makers]
    took: list[list[float]] = [[] for _ in ways]
    gc.collect()
    gc.freeze()
    for order, counts in orders(len(ways), rounds):
        for index in order:
            took_us = _burst(ways[index], count)
            if counts:
                took[index].append(took_us)
    base = took[0]
    return [
        {
            "name": way.name,
            "us": statistics.median(of_way),
            "ratio": statistics.median(one / own for one, own in zip(of_way, base, strict=True)),
            "target_us": TARGETS_US.get(way.name),
        }
        for way, of_way in zip(ways, took, strict=True)
    ]


def _burst(way: Way, count: int) -> float:
    records = [lines.finished_request() for _ in range(count)]
    gc.collect()
    start = time.process_time()
    for record in records:
        way.write(record)
    way.settle()
    return (time.process_time() - start) / count * 1e6


# 2. How many arrive.


def sustained(seconds: float) -> list[dict[str, Any]]:
    """Return the lines a second that arrived, by each way, in a file and in a slow pipe."""
    return [
        {"name": name, "into": into, **measure(make, seconds)}
        for into, measure in (("a file", _into_file), ("a slow pipe", _into_pipe))
        for name, make in WAYS.items()
    ]


def _into_file(make: Callable[[Stream], Way], seconds: float) -> dict[str, float]:
    with tempfile.NamedTemporaryFile("wb", buffering=0) as file:
        offered, took_s, dropped = _offer(make(file), seconds)
        with open(file.name, "rb") as written:
            arrived = sum(1 for _ in written)
    _check(offered, arrived, dropped)
    return {"arrived": arrived / took_s, "caller": offered / seconds, "dropped": dropped}


def _into_pipe(make: Callable[[Stream], Way], seconds: float) -> dict[str, float]:
    command = [sys.executable, "-c", _SLOW_READER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None
        offered, took_s, dropped = _offer(make(reader.stdin), seconds)
        reader.stdin.close()
        arrived = int(reader.stdout.read())
    _check(offered, arrived, dropped)
    return {"arrived": arrived / took_s, "caller": offered / seconds, "dropped": dropped}


def _offer(way: Way, seconds: float) -> tuple[int, float, float]:
    """Write lines for so long; return how many, the seconds until they were out, and how many were dropped."""
    record = lines.finished_request()
    offered = 0
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        for _ in range(100):
            way.write(record)
        offered += 100
    while way.settle() is False:
        pass
    return offered, time.perf_counter() - start, way.dropped()


def _check(offered: int, arrived: int, dropped: float) -> None:
    if arrived + dropped != offered:
        raise Misconfigured(f"{offered} lines were offered, {arrived} arrived and {dropped:g} were dropped.")


# 3. What an event loop notices.


class Blocking(Sink):
    """A sink that blocks for a second in every two, as a disk or a pipe does."""

    def __init__(self) -> None:
        super().__init__()
        self._free_since = time.monotonic()

    def write(self, data: bytes) -> int:
        if time.monotonic() - self._free_since > 1:
            time.sleep(1)
            self._free_since = time.monotonic()
        return super().write(data)


def delays(rounds: int, seconds: float) -> list[dict[str, Any]]:
    """Return the delay of an event loop that logs into a free and a blocking sink, by ours and the standard library."""
    cases = [(name, sink) for name in ("ours", "stdlib JSON") for sink in (Sink, Blocking)]
    found: dict[int, list[float]] = {index: [] for index in range(len(cases))}
    gc.freeze()
    for _ in range(rounds):
        for index, (name, sink) in enumerate(cases):
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                found[index] += runner.run(_delays(WAYS[name](sink()), seconds))
    return [
        {"name": name, "sink": "blocks" if sink is Blocking else "free", **_percentiles(found[index])}
        for index, (name, sink) in enumerate(cases)
    ]


async def _delays(way: Way, seconds: float) -> list[float]:
    """Return how many milliseconds too late each timer of a millisecond was."""
    late: list[float] = []
    end = time.perf_counter() + seconds
    while (now := time.perf_counter()) < end:
        for _ in range(2):
            way.write(lines.finished_request())
        await asyncio.sleep(0.001)
        late.append((time.perf_counter() - now - 0.001) * 1e3)
    return late


def _percentiles(late: Sequence[float]) -> dict[str, float]:
    ordered = sorted(late)
    at = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
    return {**{name: ordered[int(len(ordered) * share)] for name, share in at.items()}, "max": ordered[-1]}


# Output.


def report(result: dict[str, Any]) -> str:
    """Return the result as tables for people."""
    out = [
        *heading(result["machine"], f"medians over {result['rounds']} rounds of {result['lines']} lines"),
        "",
        f"{'an access line':20} {'µs':>7} {'times ours':>11}  target",
    ]
    for row in result["costs"]:
        target = row["target_us"]
        target_text = "" if target is None else f"{target:g}: {'reached' if row['us'] <= target else 'NOT REACHED'}"
        out.append(f"{row['name']:20} {row['us']:7.2f} {row['ratio']:11.1f}  {target_text}".rstrip())
    out += ["", f"{'lines a second':20} {'into':12} {'arrived':>9} {'caller':>9} {'dropped':>9}"]
    out += [
        f"{row['name']:20} {row['into']:12} {row['arrived']:9,.0f} {row['caller']:9,.0f} {row['dropped']:9,.0f}"
        for row in result["sustained"]
    ]
    out += ["", f"{'event-loop delay, ms':20} {'sink':12} {'p50':>8} {'p99':>8} {'p99.9':>8} {'max':>8}"]
    out += [
        f"{row['name']:20} {row['sink']:12} {row['p50']:8.2f} {row['p99']:8.2f} {row['p999']:8.2f} {row['max']:8.2f}"
        for row in result["delays"]
    ]
    return "\n".join(out)


@click.command(help=__doc__.split("\n\n")[0].strip())
@click.option("--rounds", default=200, show_default=True, type=click.IntRange(2), help="Of the first table.")
@click.option("--lines", "count", default=300, show_default=True, type=click.IntRange(1), help="Per round and way.")
@click.option("--seconds", default=2.0, show_default=True, type=click.FloatRange(0.1), help="Of the other tables.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(rounds: int, count: int, seconds: float, as_json: bool) -> None:
    """Measure, and print; the exit code says nothing about the figures."""
    root = logging.getLogger()
    result = {
        "machine": machine(PACKAGES),
        "rounds": rounds,
        "lines": count,
        "costs": costs(rounds, count),
        "sustained": sustained(seconds),
        "delays": delays(3, 2 * seconds),
    }
    root.handlers.clear()
    click.echo(orjson.dumps(result, option=orjson.OPT_INDENT_2) if as_json else report(result))


if __name__ == "__main__":
    main()
