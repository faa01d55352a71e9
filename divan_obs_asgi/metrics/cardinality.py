"""The size of metric families."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import Enum, Histogram, Summary
from prometheus_client.metrics import MetricWrapperBase

from divan_obs_asgi.metrics.limited import LimitedMetric


@dataclass(frozen=True, slots=True)
class Cardinality:
    """
    The size of a family in this process.

    Attributes:
        name: the name on the page.
        series: the number of lines on the page.
        over_limit, outside_vocabulary: how many label values were replaced by `__overflow__`, by cause.
        is_limited: whether the number of label sets is limited; that of foreign metrics is not.
    """

    name: str
    labels: tuple[str, ...]
    label_sets: int
    series: int
    over_limit: int = 0
    outside_vocabulary: int = 0
    is_limited: bool = True


def cardinality_of(metric: LimitedMetric, over_limit: int, outside_vocabulary: int) -> Cardinality:
    """Return the size of a metric of this library."""
    label_sets = metric.label_sets
    series = label_sets * metric.series_each
    return Cardinality(metric.full_name, metric.family.labels, label_sets, series, over_limit, outside_vocabulary)


def foreign_cardinality_of(metric: MetricWrapperBase) -> Cardinality:
    """Return the size of a foreign metric: one that the application created with prometheus_client."""
    name = f"{metric._name}{_SUFFIXES.get(str(metric._type), '')}"
    label_sets = len(metric._metrics) if metric._labelnames else 1
    return Cardinality(name, tuple(metric._labelnames), label_sets, label_sets * _series_each(metric), is_limited=False)


_SUFFIXES = {"counter": "_total", "info": "_info"}


def _series_each(metric: MetricWrapperBase) -> int:
    """Return the number of lines of a label set, without `_created`."""
    if isinstance(metric, Histogram):
        edges = metric._upper_bounds
        return len(edges) + 1 + (edges[0] >= 0)
    if isinstance(metric, Enum):
        return len(metric._states)
    return 2 if isinstance(metric, Summary) else 1


__all__ = ["Cardinality", "cardinality_of", "foreign_cardinality_of"]
