"""Counters of finished requests. Requests with the same route, method, status and outcome change the same series."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from prometheus_client import Counter, Histogram

from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.metrics.family import Metric
from divan_obs_asgi.metrics.fast_counters import SharedFastBuckets, child_of, fast_buckets, fast_increment
from divan_obs_asgi.metrics.limited import LimitedMetric
from divan_obs_asgi.metrics.multiprocess.worker_file import Ledger

if TYPE_CHECKING:
    from divan_obs_asgi.metrics.registry import Metrics

OTHER = "_OTHER"


class RequestSeries:
    """The series that one kind of request changes."""

    def __init__(self, metrics: Metrics, record: RequestRecord) -> None:
        route, method = record.route, record.method
        self.exemplar_of = metrics.exemplar_of
        requests, outcomes, *histograms = self.metrics(metrics)
        self.counters = (
            child_of(requests, route, method, _status(record.status)),
            child_of(outcomes, route, str(record.outcome)),
        )
        self.histograms = tuple(child_of(histogram, route, method) for histogram in histograms)

    @staticmethod
    def metrics(metrics: Metrics) -> tuple[Counter, Counter, Histogram, Histogram, Histogram]:
        """Return the metrics of these series."""
        return (
            metrics.http_requests,
            metrics.http_outcomes,
            metrics.http_duration,
            metrics.http_first_byte,
            metrics.http_response_size,
        )

    @property
    def children(self) -> tuple[Metric, ...]:
        """The children of all five metrics. They are equal for requests that change the same series."""
        return (*self.counters, *self.histograms)


class RequestCounter:
    """Counts requests in their series. This is the only rule for counters, buckets and sums of requests."""

    __slots__ = (
        "_count_outcome",
        "_count_request",
        "_exemplar_of",
        "_observe_duration",
        "_observe_first_byte",
        "_observe_size",
    )

    def __init__(self, series: RequestSeries) -> None:
        self._exemplar_of = series.exemplar_of
        self._count_request, self._count_outcome = map(fast_increment, series.counters)
        self._observe_duration, self._observe_first_byte, self._observe_size = (
            fast_buckets(histogram).observe for histogram in series.histograms
        )

    def finish(self, record: RequestRecord) -> None:
        """Count a finished request. A long poll has a size, but no latency: it waits for news."""
        self._count_request(1.0)
        self._count_outcome(1.0)
        first_byte_s = record.first_byte_s
        if first_byte_s is not None:
            self._observe_size(record.response_bytes)
        if not record.waits:
            trace = self._exemplar_of(record)
            self._observe_duration(record.duration_s, trace)
            if first_byte_s is not None:
                self._observe_first_byte(first_byte_s, trace)


class LedgerRequestCounter(RequestCounter):
    """The fast path of a worker: all series are in its ledger, and a request takes the lock once."""

    __slots__ = ("_lock",)

    def __init__(self, series: RequestSeries, ledger: Ledger) -> None:
        super().__init__(series)
        self._lock = ledger.lock
        self._count_request, self._count_outcome = (counter._value.add for counter in series.counters)
        self._observe_duration, self._observe_first_byte, self._observe_size = (
            SharedFastBuckets(histogram).add for histogram in series.histograms
        )

    def finish(self, record: RequestRecord) -> None:
        with self._lock:
            RequestCounter.finish(self, record)


def request_counter(series: RequestSeries, ledger: Ledger | None) -> RequestCounter:
    """
    Return the counter of some series: the fast one if all of them are in the ledger, and none is an overflow.

    An overflow is counted in a metric of its own, which must not happen under the lock of the ledger.
    """
    children = [cast(LimitedMetric, child) for child in series.children]
    if ledger is not None and all(child.is_in_ledger and not child.is_overflow for child in children):
        return LedgerRequestCounter(series, ledger)
    return RequestCounter(series)


def _status(status: int) -> str:
    """RFC 9110, section 15: 100 to 599. 0 means that no response was started. The application invented all others."""
    return str(status) if status == 0 or 100 <= status <= 599 else OTHER


__all__ = ["OTHER", "LedgerRequestCounter", "RequestCounter", "RequestSeries", "request_counter"]
