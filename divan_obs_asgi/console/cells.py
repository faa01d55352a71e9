"""Reads the cells that /metrics is made of: counts and buckets of this worker, never measured a second time."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

from divan_obs_asgi.metrics import Metrics
from divan_obs_asgi.metrics.family import DURATION_BUCKETS_S

# Route and method.
Key = tuple[str, str]
# Requests and errors, before the buckets of the duration.
HEAD = 2
EDGES_S = (*DURATION_BUCKETS_S, float("inf"))
WIDTH = HEAD + len(EDGES_S)


def children(metric: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield each label set of a metric with its child."""
    for child in metric.children():
        yield tuple(child._labelvalues), child


def total(metric: Any) -> float:
    """Return the sum of a counter or gauge over its label sets."""
    return float(sum(child._value.get() for _, child in children(metric)))


def buckets(child: Any) -> list[float]:
    """Return the counts in the buckets of a histogram's child, each without the lower ones."""
    return [bucket.get() for bucket in child._buckets]


def route_totals(metrics: Metrics) -> dict[Key, array[float]]:
    """Return the numbers of each route and method since the start of this worker."""
    totals: dict[Key, array[float]] = {}
    for (route, method, status), child in children(metrics.http_requests):
        found = totals.get((route, method))
        if found is None:
            found = totals[route, method] = array("d", bytes(8 * WIDTH))
        count = child._value.get()
        found[0] += count
        if status[:1] == "5":
            found[1] += count
    for (route, method), child in children(metrics.http_duration):
        found = totals.get((route, method))
        if found is not None:
            for index, count in enumerate(buckets(child)):
                found[HEAD + index] += count
    return totals


def quantile(share: float, counts: Sequence[float], edges: Sequence[float]) -> float | None:
    """Return a quantile as Prometheus' histogram_quantile does; None without observations."""
    cumulated = list(accumulate(counts))
    observed = cumulated[-1] if cumulated else 0.0
    if observed <= 0:
        return None
    rank = share * observed
    at = next(index for index, count in enumerate(cumulated) if count >= rank)
    if at == len(cumulated) - 1:
        return edges[-2]
    lower = edges[at - 1] if at else 0.0
    below = cumulated[at - 1] if at else 0.0
    inside = cumulated[at] - below
    return edges[at] if inside <= 0 else lower + (edges[at] - lower) * (rank - below) / inside


__all__ = ["EDGES_S", "HEAD", "WIDTH", "Key", "buckets", "children", "quantile", "route_totals", "total"]
