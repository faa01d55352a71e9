"""What a metric family is, and the four kinds of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, Self, TypeAlias, TypeVar, overload

from prometheus_client import Counter, Gauge, Histogram, Summary

Kind: TypeAlias = Literal["counter", "gauge", "histogram", "summary"]
Metric: TypeAlias = Counter | Gauge | Histogram | Summary
M_co = TypeVar("M_co", bound=Metric, covariant=True)

# What a scrape tells of the values that several workers hold of one gauge; `live`: of those that still run.
GaugeMode: TypeAlias = Literal["livesum", "livemin", "livemax", "livemostrecent", "sum", "min", "max", "mostrecent"]

# SPEC: within [0.01..5]. Edges at 0.12, 0.15 and 0.4 s: the load tests and the latency alert ask about exactly these.
DURATION_BUCKETS_S = (0.01, 0.025, 0.05, 0.075, 0.1, 0.12, 0.15, 0.2, 0.3, 0.4, 0.5, 1.0, 2.5, 5.0)
# A WebSocket lives for minutes; its histogram must tell a second from an hour.
CONNECTION_BUCKETS_S = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)
# A handler of an event is a few microseconds of Python, or waits for a database.
EVENT_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
# One client, a few friends, a channel, everybody.
MEMBER_BUCKETS = (0.0, 1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 5000.0, 10000.0)
# An empty answer, a message, a list, a picture, a file.
SIZE_BUCKETS = (0.0, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7)
# A job takes milliseconds or hours.
JOB_BUCKETS_S = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)
# A loop with room is late by less than a millisecond; from 0.1 s on everybody who waits for it feels it.
LAG_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
# A PING takes a fraction of a millisecond. Edges at 0.2 and 0.3 s, from where on Redis and PostgreSQL are not ready.
DEPENDENCY_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
# The edges of good and poor in web-vitals 6: INP 0.2 and 0.5 s, TTFB 0.8 and 1.8, FCP 1.8 and 3, LCP 2.5 and 4.
VITAL_BUCKETS_S = (0.2, 0.5, 0.8, 1.8, 2.5, 3.0, 4.0)
# The same of CLS, a score.
SHIFT_BUCKETS = (0.1, 0.25)
# SPEC's `radius`, in metres: a query is counted under the smallest of these that holds its circle.
RADIUS_CLASSES_M = (100, 250, 500, 1000, 2000, 5000)
BEYOND = "+Inf"
# Who changes what is counted at the hooks of the application.
APPLICATION = "application"


class Holder(Protocol):
    """What has the metrics of the families."""

    def of(self, family: Family[M_co]) -> M_co: ...


@dataclass(frozen=True, slots=True)
class Family(Generic[M_co]):
    """
    A metric family, without the namespace in its name.

    Attributes:
        name: as it is exposed, `_total` of counters included.
        help: one sentence.
        by: who changes it.
        vocabulary: for labels whose values come from data: those that are told. All others are `__overflow__`.
        mode: of a gauge, how the processes of one service are told as one.
        absent: whether a gauge without labels is told only when it was set; otherwise it is 0 before.
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
    A family as an attribute of `Catalogue`; of one that has the metrics, the metric itself, made when it is first used.

    Attributes:
        attribute: its name there; empty of a family that the application has added.
    """

    attribute = ""

    def __set_name__(self, owner: type, name: str) -> None:
        object.__setattr__(self, "attribute", name)

    @overload
    def __get__(self, holder: None, owner: type) -> Self: ...
    @overload
    def __get__(self, holder: Holder, owner: type) -> M_co: ...
    def __get__(self, holder: Holder | None, owner: type) -> Any:
        return self if holder is None else holder.of(self)


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
        mode: how the processes of one service are told as one.
        absent: whether one without labels is told only when it was set.
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
    "RADIUS_CLASSES_M",
    "SHIFT_BUCKETS",
    "SIZE_BUCKETS",
    "VITAL_BUCKETS_S",
    "Declared",
    "Family",
    "GaugeMode",
    "Holder",
    "Kind",
    "M_co",
    "Metric",
    "counter",
    "gauge",
    "histogram",
    "summary",
]
