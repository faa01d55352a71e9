"""How finished requests of one route, method, status and outcome are counted: all of them change the same series."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, cast

from prometheus_client import Counter, Histogram

from divan_obs_asgi.connection.record import RequestRecord
from divan_obs_asgi.metrics.family import Metric
from divan_obs_asgi.metrics.fast_counters import FastCounter, bins_of, child_of, trace_of
from divan_obs_asgi.metrics.limited import LimitedHistogram, LimitedMetric
from divan_obs_asgi.metrics.multiprocess.worker_file import Ledger

if TYPE_CHECKING:
    from divan_obs_asgi.metrics.registry import Metrics

OTHER = "_OTHER"


class End(Protocol):
    """Counts such requests."""

    def finish(self, record: RequestRecord) -> None: ...


class Series:
    """The series that such a request changes."""

    def __init__(self, metrics: Metrics, record: RequestRecord) -> None:
        route, method = record.route, record.method
        requests, outcomes, *histograms = self.metrics(metrics)
        self.counters = (
            child_of(requests, route, method, _status(record.status)),
            child_of(outcomes, route, str(record.outcome)),
        )
        self.histograms = tuple(child_of(histogram, route, method) for histogram in histograms)

    @staticmethod
    def metrics(metrics: Metrics) -> tuple[Counter, Counter, Histogram, Histogram, Histogram]:
        """Return those whose series these are."""
        return (
            metrics.http_requests,
            metrics.http_outcomes,
            metrics.http_duration,
            metrics.http_first_byte,
            metrics.http_response_size,
        )

    @property
    def children(self) -> tuple[Metric, ...]:
        """The same for all requests that change the same."""
        return (*self.counters, *self.histograms)

    @property
    def are_limited(self) -> bool:
        """Whether one of them stands for what is over the limit."""
        return any(cast(LimitedMetric, metric).is_overflow for metric in self.children)

    @property
    def places(self) -> Sequence[int] | None:
        """Where they stand in the ledger of a worker; None where one stands in none."""
        found = [cast(LimitedMetric, metric).place for metric in self.children]
        return None if None in found else cast(Sequence[int], found)


class _Timed:
    """The part of an end that knows histograms."""

    __slots__ = ("_duration", "_first_byte", "_size")

    def __init__(self, series: Series) -> None:
        self._duration, self._first_byte, self._size = map(bins_of, series.histograms)

    def _observe(self, record: RequestRecord) -> None:
        first_byte_s = record.first_byte_s
        if first_byte_s is not None:
            self._size.observe(record.response_bytes)
        if not record.waits:
            trace = trace_of(record) if record.sampled else None
            self._duration.observe(record.duration_s, trace)
            if first_byte_s is not None:
                self._first_byte.observe(first_byte_s, trace)


class PlainEnd(_Timed):
    """Counts them where the page of this process reads them, without a lock: as `FastBuckets`."""

    __slots__ = ("_outcomes", "_requests")

    def __init__(self, series: Series) -> None:
        super().__init__(series)
        self._requests, self._outcomes = (counter._value for counter in series.counters)

    def finish(self, record: RequestRecord) -> None:
        self._requests._value += 1.0
        self._outcomes._value += 1.0
        self._observe(record)


class OtherEnd(_Timed):
    """Counts them one by one, where some are over the limit, or in no ledger."""

    __slots__ = ("_counters",)

    def __init__(self, series: Series) -> None:
        super().__init__(series)
        self._counters = tuple(map(FastCounter, series.counters))

    def finish(self, record: RequestRecord) -> None:
        for counter in self._counters:
            counter.value += 1
            counter.tell()
        self._observe(record)


class LedgerEnd:
    """
    Counts them in the ledger of a worker: what a request changes is told at once, and the lock taken once.

    Args:
        places: where the series stand in it. Of a histogram this is the sum, which its buckets follow (records.py).
    """

    __slots__ = (
        "_duration",
        "_edges_s",
        "_first_byte",
        "_histograms",
        "_ledger",
        "_outcomes",
        "_requests",
        "_size",
        "_sizes",
    )

    def __init__(self, series: Series, ledger: Ledger, places: Sequence[int]) -> None:
        self._ledger = ledger
        self._requests, self._outcomes, self._duration, self._first_byte, self._size = places
        self._histograms = cast(tuple[LimitedHistogram, ...], series.histograms)
        duration, _, size = self._histograms
        self._edges_s, self._sizes = duration.edges, size.edges

    def finish(self, record: RequestRecord) -> None:
        ledger = self._ledger
        seconds, first_byte_s = record.duration_s, record.first_byte_s
        # `ledger.numbers` anew each time: what interrupts this may be a fork, after which they are others.
        with ledger.lock:
            ledger.numbers[self._requests] += 1.0
            ledger.numbers[self._outcomes] += 1.0
            if first_byte_s is not None:
                bucket = 1 + bisect_left(self._sizes, record.response_bytes)  # An edge is part of its bucket.
                ledger.numbers[self._size + bucket] += 1.0
                ledger.numbers[self._size] += record.response_bytes
            if record.waits:
                return
            bucket = 1 + bisect_left(self._edges_s, seconds)
            ledger.numbers[self._duration + bucket] += 1.0
            ledger.numbers[self._duration] += seconds
            if first_byte_s is not None:
                bucket = 1 + bisect_left(self._edges_s, first_byte_s)
                ledger.numbers[self._first_byte + bucket] += 1.0
                ledger.numbers[self._first_byte] += first_byte_s
        if record.sampled:
            self._show(record)

    def _show(self, record: RequestRecord) -> None:
        trace_id, at_s = trace_of(record)
        for histogram, seconds in zip(self._histograms, (record.duration_s, record.first_byte_s), strict=False):
            if seconds is not None:
                histogram.show(bisect_left(self._edges_s, seconds), seconds, trace_id, at_s)


def _status(status: int) -> str:
    """RFC 9110, section 15: 100 to 599; 0 is ours, for no response. Anything else is the application's invention."""
    return str(status) if status == 0 or 100 <= status <= 599 else OTHER


__all__ = ["OTHER", "End", "LedgerEnd", "OtherEnd", "PlainEnd", "Series"]
