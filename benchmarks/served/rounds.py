"""Measures the cases in turn, in a new order each round."""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson

from benchmarks.inprocess import Misconfigured
from benchmarks.load.processor import Mark
from benchmarks.served.cases import LIVE, Case
from benchmarks.served.collector import Collector
from benchmarks.served.load import load
from benchmarks.served.server import Server, serving

WARM_UP_S = 1.0
#: Seconds that one process may take to answer the requests after which its memory is read.
MOST_S = 180.0


def measured(
    cases: Sequence[Case], rounds: int, seconds: float, memory_after: int, progress: Callable[[str], None]
) -> dict[Case, list[dict[str, Any]]]:
    """
    Return the figures of each case, round by round.

    Args:
        memory_after: requests after which the memory is read, in the last round; 0 leaves it out.
    """
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})
    found: dict[Case, list[dict[str, Any]]] = {case: [] for case in cases}
    try:
        with Collector() as collector, tempfile.TemporaryDirectory(prefix="served-") as folder:
            for number in range(rounds):
                order = list(cases)
                random.Random(number).shuffle(order)
                for case in order:
                    progress(f"round {number + 1} of {rounds}: {case.server} {case.variant} {case.mode} {case.spans}")
                    requests = memory_after if number == rounds - 1 and case.spans != LIVE else 0
                    report = Path(folder) / "report.json"
                    found[case].append(_measured(case, collector, cores[0], report, seconds, requests))
    finally:
        os.sched_setaffinity(0, set(cores))
    return found


def _measured(
    case: Case, collector: Collector, core: int, report: Path, seconds: float, memory_after: int
) -> dict[str, Any]:
    report.unlink(missing_ok=True)
    collector.spans()
    with serving(case, collector.endpoint, core, report) as server:
        warm = load(server.port, WARM_UP_S)
        mark, began, cpu_s = Mark.now(), time.monotonic(), server.cpu_s()
        seen = load(server.port, seconds)
        ended, used_s = time.monotonic(), server.cpu_s() - cpu_s
        others = mark.others()
        answered = warm.answered + seen.answered
        more, rss_mb = _until(server, answered, memory_after)
    answered += more
    watched = orjson.loads(report.read_bytes())
    spans = collector.spans()
    if (spans > 0) != (case.spans == LIVE):
        raise Misconfigured(f"{case}: the collector got {spans} spans.")
    # Each sampled request should arrive as one span.
    share = {"on": 1.0, "0.1": 0.1}.get(case.mode, 1.0)
    return {
        "rate": seen.answered / seen.took_s,
        "cpu_us": used_s / seen.answered * 1e6,
        "p50_ms": seen.p50_ms,
        "p99_ms": seen.p99_ms,
        "p999_ms": seen.p999_ms,
        "pause_ms": max((late_s * 1e3 for at, late_s in watched["late"] if began <= at <= ended), default=0.0),
        "collections": [count / answered * 1e5 for count in watched["collections"]],
        "garbage": watched["garbage"] / answered,
        "threads_us": {name: took_s / answered * 1e6 for name, took_s in watched["threads_s"].items()},
        "rss_mb": rss_mb,
        "arrived": spans / (answered * share) if case.spans == LIVE else None,
        "others": others,
    }


def _until(server: Server, answered: int, wanted: int) -> tuple[int, float | None]:
    """Send requests until so many are answered; return how many more, and the memory then."""
    if not wanted:
        return 0, None
    more, deadline = 0, time.monotonic() + MOST_S
    while answered + more < wanted and time.monotonic() < deadline:
        more += load(server.port, 5.0).answered
    return more, server.rss_mb() if answered + more >= wanted else None


__all__ = ["measured"]
