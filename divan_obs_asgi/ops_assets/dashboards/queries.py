"""Queries of the panels, over the jobs and instances that are selected on the dashboard."""

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

# Variables of Grafana: at least four scrape intervals, and the whole time range.
RATE = "$__rate_interval"
RANGE = "$__range"


def chosen(parameters: Parameters) -> Series:
    """Return the series of the selected jobs and instances."""
    return Series(parameters.namespace, one_of("$job"), (("instance", one_of("$instance")),))


def per_second(counters: Counters, *by: str) -> Vector:
    """Return the rate of counters per second."""
    return total(rate(counters, RATE), *by)


def in_view(counters: Counters, *by: str) -> Vector:
    """Return the increase of counters over the time range."""
    return total(increase(counters, RANGE), *by)


def latency(q: float, buckets: Counters, *by: str) -> Vector:
    """Return a quantile; absent while there are no observations."""
    # Without observations the quantile is NaN, which is not >= 0.
    return Vector(f"{quantile(q, buckets, RATE, *by)} >= 0")


def latency_in_view(q: float, buckets: Counters, *by: str) -> Vector:
    """Return a quantile over the time range."""
    return Vector(f"histogram_quantile({q:g}, {in_view(buckets, *by, 'le')}) >= 0")


def share(part: Vector, whole: Vector) -> Vector:
    """Return the ratio of a part to the whole; absent if the whole is 0."""
    return lines("(", indented(part), ") / (", indented(Vector(f"{whole} > 0")), ")")


def mean(sums: Counters, counts: Counters, *by: str) -> Vector:
    """Return the mean of the observations; absent while there are none."""
    return share(per_second(sums, *by), per_second(counts, *by))


__all__ = ["RANGE", "RATE", "chosen", "in_view", "latency", "latency_in_view", "mean", "per_second", "share"]
