"""Reads the cells that /metrics is made of, as the numbers of each series."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from prometheus_client.metrics_core import Metric as Samples
from prometheus_client.samples import Exemplar

from divan_obs_asgi.metrics.exponential import Exponential, exponential_counts
from divan_obs_asgi.metrics.limited import LimitedMetric
from divan_obs_asgi.metrics.multiprocess.merging import MergedFamily

Labels = tuple[tuple[str, str], ...]


class Point(NamedTuple):
    """
    The numbers of one series.

    Attributes:
        numbers: the value; of a summary count and sum; of a histogram the count of each bucket, then the sum. The first
            bucket of an exponential histogram is the zero bucket.
        created_s: when the series began, as seconds since 1970; 0 if that is not known.
    """

    labels: Labels
    numbers: tuple[float, ...]
    created_s: float
    exemplars: tuple[Exemplar, ...] = ()


class Series(NamedTuple):
    """
    One family.

    Attributes:
        kind: counter, gauge, histogram, exponential_histogram or summary.
        edges: the upper edges of a histogram's buckets, including infinity.
        has_sum: whether a histogram has a sum; one of negative values has none.
        exponential: the buckets of an exponential histogram.
    """

    name: str
    help: str
    kind: str
    points: list[Point]
    edges: tuple[float, ...] = ()
    has_sum: bool = True
    exponential: Exponential | None = None


def of_family(metric: LimitedMetric | MergedFamily) -> Series:
    """Return a family of this library, of one worker or of several."""
    kind = metric.family.kind
    exponential = metric.described.exponential
    if exponential is not None:
        points = [_exponential_point(child, metric.described.edges, exponential) for child in metric.children()]
        name, help = metric.full_name, metric.family.help
        return Series(name, help, "exponential_histogram", points, exponential=exponential)
    edges: tuple[float, ...] = tuple(metric.edges) if kind == "histogram" else ()
    points = [_point(child, kind) for child in metric.children()]
    return Series(metric.full_name, metric.family.help, kind, points, edges, not edges or edges[0] >= 0)


def _exponential_point(child: Any, edges: tuple[float, ...], exponential: Exponential) -> Point:
    counts = exponential_counts(child.cells, edges, exponential)
    return Point(_labels(child), (*counts, child._sum.get()), child._created, _exemplars(child._buckets))


def _labels(child: Any) -> Labels:
    return tuple(zip(child._labelnames, child._labelvalues, strict=True))


def _point(child: Any, kind: str) -> Point:
    labels = _labels(child)
    created_s = getattr(child, "_created", 0.0)
    if kind == "histogram":
        buckets = child._buckets
        numbers = (*(bucket._value for bucket in buckets), child._sum.get())
        return Point(labels, numbers, created_s, _exemplars(buckets))
    if kind == "summary":
        return Point(labels, (child._count.get(), child._sum.get()), created_s)
    if kind == "gauge":
        (sample,) = child._child_samples()
        return Point(labels, (sample.value,), 0.0)
    return Point(labels, (child._value.get(),), created_s, _exemplars([child._value]))


def _exemplars(values: Iterable[Any]) -> tuple[Exemplar, ...]:
    found = []
    for value in values:
        exemplar = value._exemplar
        if exemplar is not None:
            found.append(value.get_exemplar() if type(exemplar) is tuple else exemplar)
    return tuple(found)


def of_collector(families: Iterable[Samples]) -> Iterator[Series]:
    """Yield the families of the application's own collectors."""
    for family in families:
        if family.type == "histogram":
            yield from _histograms(family)
        elif family.type == "summary":
            pairs = _by_labels(family, {"_count": 0, "_sum": 1})
            points = [Point(labels, (each.get(0, 0.0), each.get(1, 0.0)), 0.0) for labels, each in pairs.items()]
            yield Series(family.name, family.documentation, "summary", points)
        else:
            kind = "counter" if family.type == "counter" else "gauge"
            names: dict[str, list[Point]] = {}
            for sample in family.samples:
                if not sample.name.endswith("_created"):
                    exemplars = () if sample.exemplar is None else (sample.exemplar,)
                    point = Point(tuple(sample.labels.items()), (float(sample.value),), 0.0, exemplars)
                    names.setdefault(sample.name, []).append(point)
            for name, points in names.items():
                yield Series(name, family.documentation, kind, points)


def _histograms(family: Samples) -> Iterator[Series]:
    sums = _by_labels(family, {"_sum": 0})
    buckets: dict[Labels, list[tuple[float, float, Exemplar | None]]] = {}
    for sample in family.samples:
        if sample.name.endswith("_bucket"):
            labels = tuple((name, value) for name, value in sample.labels.items() if name != "le")
            buckets.setdefault(labels, []).append((float(sample.labels["le"]), sample.value, sample.exemplar))
    by_edges: dict[tuple[float, ...], list[Point]] = {}
    for labels, found in buckets.items():
        found.sort(key=lambda each: each[0])
        counts = [count for _, count, _ in found]
        own = [count - before for count, before in zip(counts, [0.0, *counts], strict=False)]
        exemplars = tuple(exemplar for _, _, exemplar in found if exemplar is not None)
        total = sums.get(labels, {}).get(0, 0.0)
        points = by_edges.setdefault(tuple(edge for edge, _, _ in found), [])
        points.append(Point(labels, (*own, total), 0.0, exemplars))
    for edges, points in by_edges.items():
        yield Series(family.name, family.documentation, "histogram", points, edges, edges[0] >= 0)


def _by_labels(family: Samples, suffixes: dict[str, int]) -> dict[Labels, dict[int, float]]:
    found: dict[Labels, dict[int, float]] = {}
    for sample in family.samples:
        place = suffixes.get(sample.name.removeprefix(family.name))
        if place is not None:
            found.setdefault(tuple(sample.labels.items()), {})[place] = float(sample.value)
    return found


__all__ = ["Labels", "Point", "Series", "of_collector", "of_family"]
