"""Metric families and their four kinds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, Self, TypeAlias, TypeVar, overload

from prometheus_client import Counter, Gauge, Histogram, Summary

Kind: TypeAlias = Literal["counter", "gauge", "histogram", "summary"]
Metric: TypeAlias = Counter | Gauge | Histogram | Summary
M_co = TypeVar("M_co", bound=Metric, covariant=True)

# How the values of several workers are combined into one gauge; `live`: only those of running workers.
GaugeMode: TypeAlias = Literal["livesum", "livemin", "livemax", "livemostrecent", "sum", "min", "max", "mostrecent"]

# Edges at 0.12, 0.15 and 0.4 s: the load tests and the latency alert query exactly these.
DURATION_BUCKETS_S = (0.01, 0.025, 0.05, 0.075, 0.1, 0.12, 0.15, 0.2, 0.3, 0.4, 0.5, 1.0, 2.5, 5.0)
# A WebSocket is open for minutes; the edges separate seconds from hours.
CONNECTION_BUCKETS_S = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)
# An event handler takes a few microseconds, or waits for a database.
EVENT_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
# One client, a few friends, a channel, all clients.
MEMBER_BUCKETS = (0.0, 1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 5000.0, 10000.0)
# An empty response, a message, a list, a picture, a file.
SIZE_BUCKETS = (0.0, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7)
# A job takes milliseconds or hours.
JOB_BUCKETS_S = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)
# The lag of a loop with spare time is below a millisecond; from 0.1 s on all clients notice it.
LAG_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
# A PING takes a fraction of a millisecond. Edges at 0.2 and 0.3 s: slower, Redis and PostgreSQL count as not ready.
DEPENDENCY_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
# Few, because each route has up to nine causes.
WAIT_BUCKETS_S = (0.001, 0.005, 0.025, 0.1, 0.25, 1.0, 5.0)
# A free connection is there at once, a new one takes some milliseconds, and SQLAlchemy gives up after 30 s.
POOL_BUCKETS_S = (0.001, 0.005, 0.025, 0.1, 0.25, 1.0, 5.0, 30.0)
# The limits of good and poor in web-vitals 6: INP 0.2 and 0.5 s, TTFB 0.8 and 1.8, FCP 1.8 and 3, LCP 2.5 and 4.
VITAL_BUCKETS_S = (0.2, 0.5, 0.8, 1.8, 2.5, 3.0, 4.0)
# The limits of good and poor for CLS, a score.
SHIFT_BUCKETS = (0.1, 0.25)
# The values of the label `radius`, in metres: a query is counted under the smallest class that includes its radius.
RADIUS_CLASSES_M = (100, 250, 500, 1000, 2000, 5000)
BEYOND = "+Inf"
# `Family.by` of the families that the application changes.
APPLICATION = "application"


class MetricSource(Protocol):
    """Returns the metrics of families."""

    def of(self, family: Family[M_co]) -> M_co: ...


@dataclass(frozen=True, slots=True)
class Family(Generic[M_co]):
    """
    A metric family. Its name has no namespace.

    Attributes:
        name: as it is exposed, including `_total` of counters.
        help: one sentence.
        by: the part that changes it.
        vocabulary: the allowed values of labels that come from data; others are counted as `__overflow__`.
        mode: how the values of several workers are combined; for gauges.
        absent: whether a gauge without labels is missing from the page before it is set; otherwise it starts at 0.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    by: str
    buckets: tuple[float, ...] = ()
    vocabulary: Mapping[str, frozenset[str]] = field(default_factory=dict)
    mode: GaugeMode = "livesum"
    absent: bool = False


class Declared(Family[M_co]):
    """
    A family as an attribute of `Catalogue`. As an attribute of `Metrics` it is the metric, created on first use.

    Attributes:
        attribute: the attribute name; empty if the application has added the family.
    """

    attribute = ""

    def __set_name__(self, owner: type, name: str) -> None:
        object.__setattr__(self, "attribute", name)

    @overload
    def __get__(self, source: None, owner: type) -> Self: ...
    @overload
    def __get__(self, source: MetricSource, owner: type) -> M_co: ...
    def __get__(self, source: MetricSource | None, owner: type) -> Any:
        return self if source is None else source.of(self)


def counter(
    name: str, labels: Sequence[str], help: str, by: str, vocabulary: Mapping[str, Sequence[str]] | None = None
) -> Declared[Counter]:
    """Declare a counter; its name ends in `_total`."""
    return Declared(name, "counter", tuple(labels), help, by, vocabulary=_frozen(vocabulary))


def gauge(
    name: str, labels: Sequence[str], help: str, by: str, mode: GaugeMode = "livesum", *, absent: bool = False
) -> Declared[Gauge]:
    """
    Declare a gauge.

    Args:
        mode: how the values of several workers are combined.
        absent: whether a gauge without labels is missing from the page before it is set.
    """
    return Declared(name, "gauge", tuple(labels), help, by, mode=mode, absent=absent)


def histogram(
    name: str, labels: Sequence[str], help: str, by: str, buckets: Sequence[float] = DURATION_BUCKETS_S
) -> Declared[Histogram]:
    """Declare a histogram; `buckets` are upper edges."""
    return Declared(name, "histogram", tuple(labels), help, by, tuple(buckets))


def summary(name: str, labels: Sequence[str], help: str, by: str) -> Declared[Summary]:
    """Declare a summary: count and sum, no quantiles."""
    return Declared(name, "summary", tuple(labels), help, by)


def _frozen(vocabulary: Mapping[str, Sequence[str]] | None) -> dict[str, frozenset[str]]:
    return {label: frozenset(values) for label, values in (vocabulary or {}).items()}


__all__ = [
    "APPLICATION",
    "BEYOND",
    "CONNECTION_BUCKETS_S",
    "DEPENDENCY_BUCKETS_S",
    "DURATION_BUCKETS_S",
    "EVENT_BUCKETS_S",
    "JOB_BUCKETS_S",
    "LAG_BUCKETS_S",
    "MEMBER_BUCKETS",
    "POOL_BUCKETS_S",
    "RADIUS_CLASSES_M",
    "SHIFT_BUCKETS",
    "SIZE_BUCKETS",
    "VITAL_BUCKETS_S",
    "Declared",
    "Family",
    "GaugeMode",
    "Kind",
    "M_co",
    "Metric",
    "MetricSource",
    "counter",
    "gauge",
    "histogram",
    "summary",
]
