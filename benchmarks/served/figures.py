"""Medians over the rounds, shares of the bare application's figures in the same round, and the targets."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.served.cases import DISCARDED, LIVE, Case

_PLAIN = ("rate", "cpu_us", "p50_ms", "p99_ms", "p999_ms", "pause_ms", "garbage", "rss_mb", "arrived", "others")


@dataclass(frozen=True)
class Target:
    """The least share of bare throughput that ours should reach; its p99 is at most so many times that of bare."""

    mode: str
    spans: str
    share: float
    p99_times: float = 2.0


TARGETS = (Target("0.1", DISCARDED, 0.60), Target("on", DISCARDED, 0.52), Target("on", LIVE, 0.50))


@dataclass(frozen=True)
class Verdict:
    """Whether one figure of ours meets its target."""

    case: Case
    what: str
    found: float
    target: float
    met: bool


def row(case: Case, rounds: list[dict[str, Any]], bare: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures of a case; `rounds` and `bare` are of the same rounds."""
    pairs = list(zip(rounds, bare, strict=True))
    found: dict[str, Any] = {"server": case.server, "variant": case.variant, "mode": case.mode, "spans": case.spans}
    found |= {name: _median([one.get(name) for one in rounds]) for name in _PLAIN}
    found["share"] = statistics.median(one["rate"] / base["rate"] for one, base in pairs)
    found["cpu_share"] = statistics.median(base["cpu_us"] / one["cpu_us"] for one, base in pairs)
    found["added_us"] = statistics.median(one["cpu_us"] - base["cpu_us"] for one, base in pairs)
    found["p99_times"] = statistics.median(one["p99_ms"] / base["p99_ms"] for one, base in pairs)
    found["collections"] = [
        statistics.median(counts) for counts in zip(*(one["collections"] for one in rounds), strict=True)
    ]
    threads = {name for one in rounds for name in one["threads_us"]}
    found["threads_us"] = {
        name: statistics.median(one["threads_us"].get(name, 0.0) for one in rounds) for name in sorted(threads)
    }
    return found


def rows(found: Mapping[Case, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the figures of all cases."""
    return [row(case, rounds, found[case.bare()]) for case, rounds in found.items()]


def verdicts(table: list[dict[str, Any]]) -> list[Verdict]:
    """Return what became of the targets, for each server that was measured."""
    found = []
    for target in TARGETS:
        for one in table:
            if (one["variant"], one["mode"], one["spans"]) == ("ours", target.mode, target.spans):
                case = Case(one["server"], "ours", target.mode, target.spans)
                share, times = one["share"], one["p99_times"]
                found.append(Verdict(case, "throughput", share, target.share, share >= target.share))
                found.append(Verdict(case, "p99", times, target.p99_times, times <= target.p99_times))
    return found


def _median(figures: list[float | None]) -> float | None:
    there = [figure for figure in figures if figure is not None]
    return statistics.median(there) if there else None


__all__ = ["TARGETS", "Target", "Verdict", "row", "rows", "verdicts"]
