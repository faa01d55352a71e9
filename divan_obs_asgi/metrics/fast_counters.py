"""
What is counted without prometheus_client: in plain numbers, which the metrics are told of when somebody looks, or in
those that the page is made of.

prometheus_client's locks and checks cost more than all else that is done for a request or an event.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import TypeVar, cast

from prometheus_client import Counter, Histogram

from divan_obs_asgi.connection.record import RequestRecord
from divan_obs_asgi.metrics.family import Metric
from divan_obs_asgi.metrics.limited import LimitedHistogram, LimitedMetric

M = TypeVar("M", bound=Metric)


def child_of(metric: M, *values: str) -> M:
    """Return the child of a label set, for a tally: it counts by itself what it tells as the overflow."""
    return cast(M, cast(LimitedMetric, metric).labels_of_a_tally(*values))


def _overflow_of(metric: object) -> LimitedMetric | None:
    governed = cast(LimitedMetric, metric)
    return governed if governed.is_overflow else None


class FastCounter:
    """
    A number of events, and the counter that is told of it.

    The event loop's thread writes it; whoever tells it only reads, and remembers how much of it was told.
    """

    __slots__ = ("_counter", "_overflow", "_told", "value")

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._overflow = _overflow_of(counter)
        self._told = 0
        self.value = 0

    def tell(self) -> None:
        """Have the counter say what the number says."""
        value = self.value
        new = value - self._told
        if new:
            self._counter.inc(new)
            self._told = value
            if self._overflow is not None:
                self._overflow.count_overflow(new)


class SharedFastCounter(FastCounter):
    """
    A number of one worker among several, told whenever it changes.

    The others cannot ask this one, and where it is killed, nobody can.
    """

    __slots__ = ("_inc",)

    def __init__(self, counter: Counter) -> None:
        self._inc: Callable[[float], None] = counter._value.inc
        super().__init__(counter)

    @property
    def value(self) -> int:
        return self._told

    @value.setter
    def value(self, value: int) -> None:
        new = value - self._told
        self._inc(new)
        self._told = value
        if self._overflow is not None:
            self._overflow.count_overflow(new)


class FastBuckets:
    """
    The observations of a histogram, written where its page reads them, without a lock.

    The event loop's thread writes them. CPython hands the interpreter over at calls and jumps, and there is none in an
    addition to an attribute.
    """

    __slots__ = ("_buckets", "_edges", "_histogram", "_overflow", "_sum")

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = cast(LimitedHistogram, histogram)
        self._overflow = _overflow_of(histogram)
        self._edges = self._histogram.edges
        self._buckets = self._histogram._buckets
        self._sum = self._histogram._sum

    def observe(self, amount: float, trace: tuple[str, float] | None = None) -> None:
        """Note an observation; of a sampled trace its id and the Unix time are the exemplar."""
        bucket = self._buckets[bisect_left(self._edges, amount)]  # An edge is part of its bucket.
        bucket._value += 1.0
        self._sum._value += amount
        if trace is not None:
            bucket._exemplar = (amount, *trace)
        if self._overflow is not None:
            self._overflow.count_overflow(1)


class SharedFastBuckets(FastBuckets):
    """The observations of one worker among several, in its ledger."""

    __slots__ = ()

    def observe(self, amount: float, trace: tuple[str, float] | None = None) -> None:
        index = bisect_left(self._edges, amount)
        self._histogram.put(index, amount)
        if trace is not None:
            self._histogram.show(index, amount, *trace)
        if self._overflow is not None:
            self._overflow.count_overflow(1)


def tally_of(counter: Counter) -> FastCounter:
    """Return a number that the counter is told of: at once where several workers share it."""
    return (SharedFastCounter if cast(LimitedMetric, counter).is_shared else FastCounter)(counter)


def bins_of(histogram: Histogram) -> FastBuckets:
    """Return what notes the observations of a histogram, alone or among several workers."""
    return (SharedFastBuckets if cast(LimitedMetric, histogram).is_shared else FastBuckets)(histogram)


def trace_of(record: RequestRecord) -> tuple[str, float]:
    """Return what an exemplar tells: the trace, and when it was."""
    return record.trace_id, record.started_ns / 1e9 + record.duration_s


__all__ = [
    "FastBuckets",
    "FastCounter",
    "SharedFastBuckets",
    "SharedFastCounter",
    "bins_of",
    "child_of",
    "tally_of",
    "trace_of",
]
