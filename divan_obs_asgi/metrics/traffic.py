"""What is counted of HTTP requests, and of WebSockets, from their records."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, cast

from prometheus_client import Counter

from divan_obs_asgi.connection.app_errors import own_failure
from divan_obs_asgi.connection.record import Direction, RequestRecord
from divan_obs_asgi.metrics.family import Metric
from divan_obs_asgi.metrics.fast_counters import FastCounter, bins_of, child_of, trace_of
from divan_obs_asgi.metrics.limited import LimitedMetric
from divan_obs_asgi.metrics.request_counters import OTHER, End, LedgerEnd, OtherEnd, PlainEnd, Series
from divan_obs_asgi.names import class_name

if TYPE_CHECKING:
    from divan_obs_asgi.metrics.registry import Metrics

# Kinds of requests to remember: to look their series up costs more than counting. Beyond this something invents routes.
_MAX_KNOWN = 10_000
# RFC 6455, section 7.4.1, and what IANA has registered since; from 3000 on they are the applications' own.
_CLOSE_CODES = frozenset({*range(1000, 1004), *range(1005, 1016)})


def _nothing() -> None: ...


class Traffic(Protocol):
    """Counts connections of one kind."""

    def begin(self, record: RequestRecord) -> Callable[[], None]: ...

    def finish(self, record: RequestRecord) -> None: ...


class HttpTraffic:
    """
    Counts requests. What `waits` is counted, and in no latency.

    Args:
        known: called before a request of a new kind is counted.
    """

    def __init__(self, metrics: Metrics, known: Callable[[], object] = _nothing) -> None:
        self._metrics = metrics
        self._known = known
        self._ends: dict[tuple[Metric, ...], End] = {}
        self._by_key: dict[tuple[object, ...], End] = {}
        self._in_flight = metrics.http_in_flight._value
        # Other workers read what this one counts, and cannot ask it; where it is killed, nobody can.
        self._ledger = None if metrics.workers is None else metrics.workers.ledger
        self._move_in_flight: Callable[[float], None] = metrics.http_in_flight._value.inc
        for metric in Series.metrics(metrics):
            cast(LimitedMetric, metric).when_forgotten.append(self._forget)

    def begin(self, record: RequestRecord) -> Callable[[], None]:
        """Count a request as in flight until the function that is returned is called."""
        if self._ledger is None:
            self._in_flight._value += 1.0
        else:
            self._move_in_flight(1.0)
        return record.count_in_flight(self._left)

    def _left(self) -> None:
        if self._ledger is None:
            self._in_flight._value -= 1.0
        else:
            self._move_in_flight(-1.0)

    def finish(self, record: RequestRecord) -> None:
        """Count a finished request, however it ended."""
        key = (record.route, record.method, record.status, record.outcome)
        end = self._by_key.get(key) or self._resolved(key, record)
        end.finish(record)
        if record.error is not None:
            self._failed(record)

    def failed_after_end(self, record: RequestRecord, error: Exception) -> None:
        """Count what a request has raised when it was counted already: by a background task, say."""
        self._metrics.http_exceptions.labels(record.route, class_name(type(error))).inc()

    def _forget(self) -> None:
        self._by_key.clear()
        self._ends.clear()

    def _failed(self, record: RequestRecord) -> None:
        failure = own_failure(record.error, record.hang_up)
        if failure is not None:
            self._metrics.http_exceptions.labels(record.route, class_name(type(failure))).inc()

    def _resolved(self, key: tuple[object, ...], record: RequestRecord) -> End:
        self._known()
        series = Series(self._metrics, record)
        # What is over the limit is one end, however many routes there are.
        end = self._ends.get(series.children)
        if end is None:
            end = self._ends[series.children] = self._end(series)
        if len(self._by_key) < _MAX_KNOWN:
            self._by_key[key] = end
        return end

    def _end(self, series: Series) -> End:
        if series.are_limited:
            return OtherEnd(series)
        if self._ledger is None:
            return PlainEnd(series)
        places = series.places
        return OtherEnd(series) if places is None else LedgerEnd(series, self._ledger, places)


class WebSocketTraffic:
    """
    Counts WebSockets: their messages while they last, all else at their end.

    Args:
        known: called before one is counted.
    """

    def __init__(self, metrics: Metrics, known: Callable[[], object] = _nothing) -> None:
        self._metrics = metrics
        self._known = known

    def begin(self, record: RequestRecord) -> Callable[[], None]:
        """Count a connection as open until the function that is returned is called."""
        record.on_message = _Messages(self._metrics.websocket_messages)
        self._metrics.websocket_open.inc()
        return record.count_in_flight(self._metrics.websocket_open.dec)

    def finish(self, record: RequestRecord) -> None:
        """Count a finished connection, however it ended."""
        self._known()
        metrics, route = self._metrics, record.route
        metrics.websocket_connections.labels(route, record.outcome).inc()
        duration = bins_of(child_of(metrics.websocket_duration, route))
        duration.observe(record.duration_s, trace_of(record) if record.sampled else None)
        if record.close_code is not None:
            code = str(record.close_code) if record.close_code in _CLOSE_CODES else OTHER
            metrics.websocket_closes.labels(route, code).inc()


def count_operation(metrics: Metrics, record: RequestRecord) -> None:
    """Count what the application has said of a finished request: its operation, and its failure."""
    if record.operation:
        metrics.operations.labels(record.route, record.operation, record.outcome).inc()
        if not record.lingers:
            duration = bins_of(child_of(metrics.operation_duration, record.route, record.operation))
            duration.observe(record.duration_s, trace_of(record) if record.sampled else None)
    if record.failure:
        metrics.failures.labels(record.route, record.failure).inc()


class _Messages:
    """Counts the messages of one connection, whose route is known when the first of them comes."""

    def __init__(self, messages: Counter) -> None:
        self._messages = messages
        self._known: dict[Direction, FastCounter] = {}

    def __call__(self, record: RequestRecord, direction: Direction) -> None:
        tally = self._known.get(direction)
        if tally is None:
            tally = self._known[direction] = FastCounter(child_of(self._messages, record.route_so_far(), direction))
        tally.value += 1
        tally.tell()


__all__ = ["HttpTraffic", "Traffic", "WebSocketTraffic", "count_operation"]
