"""How large a family is."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import Enum, Histogram, Summary
from prometheus_client.metrics import MetricWrapperBase

from divan_obs_asgi.metrics.limited import LimitedMetric


@dataclass(frozen=True, slots=True)
class Cardinality:
    """
    How large a family is in this process.

    Attributes:
        name: as it is exposed.
        series: lines of the page.
        over_limit, in_no_vocabulary: how often `__overflow__` stood for something else.
        is_governed: whether its label sets are limited; those of prometheus_client's own metrics are not.
    """

    name: str
    labels: tuple[str, ...]
    label_sets: int
    series: int
    over_limit: int = 0
    in_no_vocabulary: int = 0
    is_governed: bool = True


def size_of(metric: LimitedMetric, over_limit: int, in_no_vocabulary: int) -> Cardinality:
    """Return how large one of our own is."""
    label_sets = metric.label_sets
    series = label_sets * metric.series_each
    return Cardinality(metric.full_name, metric.family.labels, label_sets, series, over_limit, in_no_vocabulary)


def size_of_stranger(metric: MetricWrapperBase) -> Cardinality:
    """Return how large a metric of prometheus_client is."""
    name = f"{metric._name}{_SUFFIXES.get(str(metric._type), '')}"
    label_sets = len(metric._metrics) if metric._labelnames else 1
    return Cardinality(name, tuple(metric._labelnames), label_sets, label_sets * _lines(metric), is_governed=False)


_SUFFIXES = {"counter": "_total", "info": "_info"}


def _lines(metric: MetricWrapperBase) -> int:
    """Return how many lines a label set has, without `_created`."""
    if isinstance(metric, Histogram):
        edges = metric._upper_bounds
        return len(edges) + 1 + (edges[0] >= 0)
    if isinstance(metric, Enum):
        return len(metric._states)
    return 2 if isinstance(metric, Summary) else 1


__all__ = ["Cardinality", "size_of", "size_of_stranger"]
