"""The kinds of query that panels ask, over the job and the instances that are chosen above the board."""

from __future__ import annotations

from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.promql import (
    Counters,
    Series,
    Vector,
    increase,
    indented,
    lines,
    one_of,
    quantile,
    rate,
    total,
)

# Grafana replaces them: by at least four scrapes, and by all that is in view.
RATE = "$__rate_interval"
RANGE = "$__range"


def chosen(parameters: Parameters) -> Series:
    """Return the series of the job and the instances that are chosen."""
    return Series(parameters.namespace, one_of("$job"), (("instance", one_of("$instance")),))


def per_second(counters: Counters, *by: str) -> Vector:
    """Return how fast counters grow."""
    return total(rate(counters, RATE), *by)


def in_view(counters: Counters, *by: str) -> Vector:
    """Return by how much counters grew in all that is in view."""
    return total(increase(counters, RANGE), *by)


def latency(q: float, buckets: Counters, *by: str) -> Vector:
    """Return a quantile; nothing while nothing is observed."""
    # Then it is NaN, which is not >= 0.
    return Vector(f"{quantile(q, buckets, RATE, *by)} >= 0")


def latency_in_view(q: float, buckets: Counters, *by: str) -> Vector:
    """Return a quantile over all that is in view."""
    return Vector(f"histogram_quantile({q:g}, {in_view(buckets, *by, 'le')}) >= 0")


def share(part: Vector, whole: Vector) -> Vector:
    """Return a part of the whole; nothing where the whole is nothing."""
    return lines("(", indented(part), ") / (", indented(Vector(f"{whole} > 0")), ")")


def mean(sums: Counters, counts: Counters, *by: str) -> Vector:
    """Return the mean of what was observed; nothing while nothing is."""
    return share(per_second(sums, *by), per_second(counts, *by))


__all__ = ["RANGE", "RATE", "chosen", "in_view", "latency", "latency_in_view", "mean", "per_second", "share"]
