"""What every benchmark here needs: rounds in a new order each time, medians, the spread, and the machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import random
import statistics
from collections.abc import Iterator, Sequence
from math import ceil, floor
from typing import Any

import divan_obs_asgi

_WARM_UP = 3


def orders(count: int, rounds: int) -> Iterator[tuple[list[int], bool]]:
    """Yield for each round the numbers below `count` in a new order, and whether it counts or warms up."""
    order = list(range(count))
    for number in range(_WARM_UP + rounds):
        random.Random(number).shuffle(order)
        yield order, number >= _WARM_UP


def spread(figures: Sequence[float]) -> float:
    """Return the distance between the quartiles."""
    if len(figures) < 2:
        return 0.0
    low, _, high = statistics.quantiles(figures, n=4)
    return high - low


def interval(figures: Sequence[float]) -> tuple[float, float]:
    """Return what contains the true median with a probability of 95 %, whatever the distribution is."""
    # The number of figures below the true median is binomial: these order statistics are 1.96 deviations away.
    ordered, count = sorted(figures), len(figures)
    reach = 0.98 * count**0.5
    return ordered[max(0, floor(count / 2 - reach))], ordered[min(count - 1, ceil(count / 2 + reach))]


def machine(packages: Sequence[str]) -> dict[str, Any]:
    """Return what the figures depend on: cores, interpreter, versions."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "load": round(os.getloadavg()[0], 1),
        "python": python,
        "packages": {
            "divan-obs-asgi": divan_obs_asgi.__version__,
            **{name: importlib.metadata.version(name) for name in packages},
        },
    }


def heading(about: dict[str, Any], rounds: str) -> list[str]:
    """Return the lines above a report: the machine, how often it was measured, the versions."""
    return [
        f"{about['python']}, {about['cores']} cores ({about['machine']}), load {about['load']}; {rounds}",
        ", ".join(f"{name} {version}" for name, version in about["packages"].items()),
    ]


__all__ = ["heading", "interval", "machine", "orders", "spread"]
