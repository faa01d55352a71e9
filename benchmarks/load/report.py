"""The table of a load test, and what is judged in it."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.load.scripts import Summary

# Where others use more of the machine, latency says nothing about the backend.
BUSY = 0.25
_HEAD = (
    f"{'script':22} {'measured':9} {'stack':5} {'p50 ms':>7} {'p95 ms':>7} {'p99 ms':>7} {'failed':>7} {'dropped':>7} "
    f"{'req/s':>7} {'CPU µs/req':>10} {'on/off':>6} {'others':>6}"
)


@dataclass(frozen=True)
class Run:
    """One script against one stack."""

    stack: str
    summary: Summary
    #: Processor seconds of the backend, and the share of the machine that others used meanwhile.
    cpu_s: float
    others: float

    @property
    def cpu_us(self) -> float:
        """Return the backend's processor time for a request, in microseconds."""
        return 1e6 * self.cpu_s / self.summary.requests if self.summary.requests else 0.0

    @property
    def is_busy(self) -> bool:
        return self.others > BUSY


def table(runs: Sequence[Run]) -> str:
    """Return what was measured; `on/off` compares CPU per request with the same script without the stack."""
    off_us = {run.summary.script.name: run.cpu_us for run in runs if run.stack == "off"}
    lines = [
        f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} processors, "
        f"load {os.getloadavg()[0]:.1f}; `others`: their share of the machine during the run",
        "",
        _HEAD,
    ]
    for run in sorted(runs, key=lambda run: run.summary.script.name):
        base_us = off_us.get(run.summary.script.name, 0.0)
        ratio = f"{run.cpu_us / base_us:.2f}" if run.stack != "off" and base_us else ""
        lines += _rows(run, ratio)
    return "\n".join(lines)


def _rows(run: Run, ratio: str) -> Iterator[str]:
    summary = run.summary
    for measured, metric in summary.script.measures.items():
        p50, p95, p99 = (summary.value(metric, key) for key in ("med", "p(95)", "p(99)"))
        yield (
            f"{summary.script.name:22} {measured:9} {run.stack:5} {p50:7.1f} {p95:7.1f} {p99:7.1f} "
            f"{summary.failed:7.2%} {summary.dropped:7.0f} {summary.requests_a_second:7.1f} "
            f"{run.cpu_us:10.0f} {ratio:>6} {run.others:6.0%}"
        )


def verdicts(runs: Sequence[Run]) -> tuple[list[str], list[str]]:
    """Return the thresholds that were not met and count, and those that were not judged, each as a line."""
    failed, unjudged = [], []
    for run in runs:
        for metric, threshold in run.summary.broken():
            line = f"{run.summary.script.name}, stack {run.stack}: {metric} {threshold}"
            if threshold.startswith("p(") and run.is_busy:
                unjudged.append(f"{line}: not judged (busy): others used {run.others:.0%} of the machine")
            else:
                failed.append(f"{line}: {_figure(run, metric, threshold)}")
    return failed, unjudged


def _figure(run: Run, metric: str, threshold: str) -> str:
    for key in ("p(95)", "rate", "count"):
        if threshold.startswith(key):
            return f"{run.summary.value(metric, key):g}"
    return "not met"


__all__ = ["BUSY", "Run", "table", "verdicts"]
