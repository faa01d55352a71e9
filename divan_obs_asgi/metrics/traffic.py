"""Counts HTTP requests and WebSocket connections, from their records."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, cast

from prometheus_client import Counter

from divan_obs_asgi.connection.app_errors import own_failure
from divan_obs_asgi.connection.measured import MeasuredRequest
from divan_obs_asgi.connection.record import Record
from divan_obs_asgi.connection.request import Direction, RequestRecord
from divan_obs_asgi.metrics.family import Metric
from divan_obs_asgi.metrics.fast_counters import child_of, fast_buckets, fast_increment
from divan_obs_asgi.metrics.limited import LimitedMetric
from divan_obs_asgi.metrics.request_counters import OTHER, RequestCounter, RequestSeries, request_counter
from divan_obs_asgi.names import class_name

if TYPE_CHECKING:
    from divan_obs_asgi.metrics.registry import Metrics

# Kinds of requests to cache: a lookup of their series costs more than counting. More of them are invented routes.
_MAX_CACHED = 10_000
# RFC 6455, section 7.4.1, and the later registrations at IANA; applications use codes from 3000 on.
_CLOSE_CODES = frozenset({*range(1000, 1004), *range(1005, 1016)})


def _nothing() -> None: ...


class Traffic(Protocol):
    """Counts connections of one kind."""

    def begin(self, record: RequestRecord) -> Callable[[], None]: ...

    def finish(self, record: RequestRecord) -> None: ...


class HttpTraffic:
    """
    Counts requests. A request that `waits` (a long poll) is counted, but is in no latency.

    Args:
        before_count: called before a request of a new kind is counted.
    """

    def __init__(self, metrics: Metrics, before_count: Callable[[], object] = _nothing) -> None:
        self._metrics = metrics
        self._before_count = before_count
        self._by_series: dict[tuple[Metric, ...], RequestCounter] = {}
        self._by_key: dict[tuple[object, ...], RequestCounter] = {}
        self._in_flight = metrics.http_in_flight._value
        # Of several workers: the others read the ledger of this one, also after it was killed.
        self._ledger = None if metrics.workers is None else metrics.workers.ledger
        self._move_in_flight: Callable[[float], None] = metrics.http_in_flight._value.inc
        for metric in RequestSeries.metrics(metrics):
            cast(LimitedMetric, metric).on_removal.append(self._clear_cache)

    def begin(self, record: RequestRecord) -> Callable[[], None]:
        """Count a request as in flight until the returned function is called."""
        if self._ledger is None:
            self._in_flight._value += 1.0
        else:
            self._move_in_flight(1.0)
        return record.count_in_flight(self._end_flight)

    def _end_flight(self) -> None:
        if self._ledger is None:
            self._in_flight._value -= 1.0
        else:
            self._move_in_flight(-1.0)

    def finish(self, record: RequestRecord) -> None:
        """Count a finished request, whatever its outcome."""
        key = (record.route, record.method, record.status, record.outcome)
        counter = self._by_key.get(key) or self._counter_of(key, record)
        counter.finish(record)
        if record.error is not None:
            self._count_exception(record)

    def failed_after_end(self, record: RequestRecord, error: Exception) -> None:
        """Count an exception that was raised after its request was counted, by a background task for example."""
        self._metrics.http_exceptions.labels(record.route, class_name(type(error))).inc()

    def _clear_cache(self) -> None:
        self._by_key.clear()
        self._by_series.clear()

    def _count_exception(self, record: RequestRecord) -> None:
        failure = own_failure(record.error, record.hang_up)
        if failure is not None:
            self._metrics.http_exceptions.labels(record.route, class_name(type(failure))).inc()

    def _counter_of(self, key: tuple[object, ...], record: RequestRecord) -> RequestCounter:
        self._before_count()
        series = RequestSeries(self._metrics, record)
        # All routes over the limit share one counter.
        counter = self._by_series.get(series.children)
        if counter is None:
            counter = self._by_series[series.children] = request_counter(series, self._ledger)
        if len(self._by_key) < _MAX_CACHED:
            self._by_key[key] = counter
        return counter


def count_waits(metrics: Metrics, record: MeasuredRequest) -> None:
    """Count what a finished request has waited for."""
    if not record.lingers:
        for cause, waited_s in record.time_by_cause().items():
            if waited_s:
                fast_buckets(child_of(metrics.http_wait, record.route, cause)).observe(waited_s)


class WebSocketTraffic:
    """
    Counts WebSocket connections: messages while a connection is open, everything else at its end.

    Args:
        before_count: called before a connection is counted.
    """

    def __init__(self, metrics: Metrics, before_count: Callable[[], object] = _nothing) -> None:
        self._metrics = metrics
        self._before_count = before_count

    def begin(self, record: RequestRecord) -> Callable[[], None]:
        """Count a connection as open until the returned function is called."""
        record.on_message = _MessageCounter(self._metrics.websocket_messages)
        self._metrics.websocket_open.inc()
        return record.count_in_flight(self._metrics.websocket_open.dec)

    def finish(self, record: RequestRecord) -> None:
        """Count a finished connection, whatever its outcome."""
        self._before_count()
        metrics, route = self._metrics, record.route
        metrics.websocket_connections.labels(route, record.outcome).inc()
        duration = fast_buckets(child_of(metrics.websocket_duration, route))
        duration.observe(record.duration_s, metrics.exemplar_of(record))
        if record.close_code is not None:
            code = str(record.close_code) if record.close_code in _CLOSE_CODES else OTHER
            metrics.websocket_closes.labels(route, code).inc()


def count_operation(metrics: Metrics, record: Record) -> None:
    """Count the operation and the failure of a finished request, if the application has declared them."""
    if record.operation:
        metrics.operations.labels(record.route, record.operation, record.outcome).inc()
        if not record.lingers:
            duration = fast_buckets(child_of(metrics.operation_duration, record.route, record.operation))
            duration.observe(record.duration_s, metrics.exemplar_of(record))
    if record.failure:
        metrics.failures.labels(record.route, record.failure).inc()


class _MessageCounter:
    """Counts the messages of one connection. Its route is known when the first message arrives."""

    def __init__(self, messages: Counter) -> None:
        self._messages = messages
        self._counters: dict[Direction, Callable[[float], None]] = {}

    def __call__(self, record: RequestRecord, direction: Direction) -> None:
        count = self._counters.get(direction)
        if count is None:
            child = child_of(self._messages, record.route_so_far(), direction)
            count = self._counters[direction] = fast_increment(child)
        count(1.0)


__all__ = ["HttpTraffic", "Traffic", "WebSocketTraffic", "count_operation", "count_waits"]
