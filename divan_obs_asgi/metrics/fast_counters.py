"""
Counters and histograms without the cost of prometheus_client: its locks and checks cost more than all other work that
is done for a request or an event.

A fast counter is a plain number that is added to the metric before each scrape. Fast buckets write directly to the
numbers from which the page is made.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import TypeVar, cast

from prometheus_client import Counter, Histogram

from divan_obs_asgi.connection.record import Record
from divan_obs_asgi.metrics.family import Metric
from divan_obs_asgi.metrics.limited import LimitedHistogram, LimitedMetric
from divan_obs_asgi.metrics.local import TraceExemplar
from divan_obs_asgi.metrics.multiprocess.values import Value

M = TypeVar("M", bound=Metric)


def child_of(metric: M, *values: str) -> M:
    """Return the child of a label set. It does not count an overflow: the fast counter does that for each event."""
    return cast(M, cast(LimitedMetric, metric).labels_without_count(*values))


def overflow_of(metric: object) -> LimitedMetric | None:
    """Return the metric if it is the overflow of its family."""
    limited = cast(LimitedMetric, metric)
    return limited if limited.is_overflow else None


class FastCounter:
    """
    A number of events that is added to a counter later.

    Only the thread of the event loop writes `value`. `flush` only reads it, and remembers how much it has added.
    """

    __slots__ = ("_counter", "_flushed", "_overflow", "value")

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._overflow = overflow_of(counter)
        self._flushed = 0
        self.value = 0

    def flush(self) -> None:
        """Add the events since the last call to the counter."""
        value = self.value
        new = value - self._flushed
        if new:
            self._counter.inc(new)
            self._flushed = value
            if self._overflow is not None:
                self._overflow.count_overflow(new)


class SharedFastCounter(FastCounter):
    """
    A number of events of one worker among several. Each change goes to the ledger at once.

    The other workers cannot ask this one to flush, and a worker that is killed cannot flush.
    """

    __slots__ = ("_inc",)

    def __init__(self, counter: Counter) -> None:
        self._inc: Callable[[float], None] = counter._value.inc
        super().__init__(counter)

    @property
    def value(self) -> int:
        return self._flushed

    @value.setter
    def value(self, value: int) -> None:
        new = value - self._flushed
        self._inc(new)
        self._flushed = value
        if self._overflow is not None:
            self._overflow.count_overflow(new)


class FastBuckets:
    """
    The observations of a histogram, written without a lock to the numbers from which the page is made.

    Only the thread of the event loop writes them. CPython switches threads at calls and jumps, and the addition to an
    attribute contains neither.
    """

    __slots__ = ("_buckets", "_edges", "_overflow", "_sum")

    def __init__(self, histogram: Histogram) -> None:
        limited = cast(LimitedHistogram, histogram)
        self._overflow = overflow_of(histogram)
        self._edges = limited.cell_edges
        self._buckets = limited.cells
        self._sum = limited._sum

    def observe(self, amount: float, trace: tuple[str, float] | None = None) -> None:
        """Add an observation. The id of a sampled trace and the Unix time become the exemplar."""
        bucket = self._buckets[bisect_left(self._edges, amount)]  # An edge belongs to its bucket.
        bucket._value += 1.0
        self._sum._value += amount
        if trace is not None:
            bucket._exemplar = (amount, *trace)
        if self._overflow is not None:
            self._overflow.count_overflow(1)


class SharedFastBuckets(FastBuckets):
    """The observations of one worker among several, written to its ledger with one lock for bucket and sum."""

    __slots__ = ("_at", "_ledger")

    def __init__(self, histogram: Histogram) -> None:
        super().__init__(histogram)
        # The buckets follow the sum (file_format.py).
        total = cast(Value, self._sum)
        self._ledger, self._at = total.ledger, total.at

    def observe(self, amount: float, trace: tuple[str, float] | None = None) -> None:
        with self._ledger.lock:
            self.add(amount, trace)
        if self._overflow is not None:
            self._overflow.count_overflow(1)

    def add(self, amount: float, trace: tuple[str, float] | None = None) -> None:
        """Add an observation; the caller holds the lock, and counts an overflow."""
        index = bisect_left(self._edges, amount)
        # Read `ledger.numbers` each time: a signal handler may fork here, and a fork replaces them.
        ledger, at = self._ledger, self._at
        ledger.numbers[at + 1 + index] += 1.0
        ledger.numbers[at] += amount
        if trace is not None:
            trace_id, at_s = trace
            self._buckets[index]._exemplar = TraceExemplar({"trace_id": trace_id}, amount, at_s)


def fast_counter(counter: Counter) -> FastCounter:
    """Return the fast counter of a counter, for one worker or for several."""
    return (SharedFastCounter if cast(LimitedMetric, counter).is_shared else FastCounter)(counter)


def fast_increment(counter: Counter) -> Callable[[float], None]:
    """Return a function that increments a counter at once, for a caller in the thread of the event loop."""
    value, overflow = counter._value, overflow_of(counter)
    if overflow is not None:

        def increment(amount: float) -> None:
            value.inc(amount)
            overflow.count_overflow(1)

        return increment
    increase: Callable[[float], None] = value.inc if cast(LimitedMetric, counter).is_in_ledger else value.add
    return increase


def fast_buckets(histogram: Histogram) -> FastBuckets:
    """Return the fast buckets of a histogram: in the ledger if its numbers are there, else in this process."""
    return (SharedFastBuckets if cast(LimitedMetric, histogram).is_in_ledger else FastBuckets)(histogram)


Exemplar = tuple[str, float]


def _of_a_sampled_trace(record: Record) -> Exemplar | None:
    return (record.trace_id, record.started_ns / 1e9 + record.duration_s) if record.sampled else None


def _of_any_trace(record: Record) -> Exemplar | None:
    return (record.trace_id, record.started_ns / 1e9 + record.duration_s) if record.trace_id else None


def _of_no_trace(record: Record) -> Exemplar | None:
    return None


# By OTEL_METRICS_EXEMPLAR_FILTER: the exemplar of a finished record, its trace id and the Unix time of its end.
EXEMPLARS: dict[str, Callable[[Record], Exemplar | None]] = {
    "trace_based": _of_a_sampled_trace,
    "always_on": _of_any_trace,
    "always_off": _of_no_trace,
}


__all__ = [
    "EXEMPLARS",
    "Exemplar",
    "FastBuckets",
    "FastCounter",
    "SharedFastBuckets",
    "SharedFastCounter",
    "child_of",
    "fast_buckets",
    "fast_counter",
    "fast_increment",
    "overflow_of",
]
