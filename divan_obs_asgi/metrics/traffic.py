"""What is counted of HTTP requests, and of WebSockets, from their records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from prometheus_client import Counter, Histogram

from divan_obs_asgi.failures import own_failure
from divan_obs_asgi.metrics.governed import GovernedHistogram
from divan_obs_asgi.record import Direction, RequestRecord

if TYPE_CHECKING:
    from divan_obs_asgi.metrics.registry import Metrics

# Series to remember: `labels()` costs more than counting. Beyond this something invents routes.
_MAX_KNOWN = 10_000
# RFC 6455, section 7.4.1, and what IANA has registered since; from 3000 on they are the applications' own.
_CLOSE_CODES = frozenset({*range(1000, 1004), *range(1005, 1016)})
_OTHER = "_OTHER"


class Traffic(Protocol):
    """Counts connections of one kind."""

    def begin(self, record: RequestRecord) -> Callable[[], None]: ...

    def finish(self, record: RequestRecord) -> None: ...


@dataclass(frozen=True, slots=True)
class _End:
    """The series that requests of one route, method, status and outcome go to."""

    requests: Counter
    outcomes: Counter
    duration: GovernedHistogram
    first_byte: GovernedHistogram
    size: Histogram


class HttpTraffic:
    """Counts requests. What `waits` is counted, and in no latency."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._ends: dict[tuple[object, ...], _End] = {}

    def begin(self, record: RequestRecord) -> Callable[[], None]:
        """Count a request as in flight until the function that is returned is called."""
        self._metrics.http_in_flight.inc()
        return record.count_in_flight(self._metrics.http_in_flight.dec)

    def finish(self, record: RequestRecord) -> None:
        """Count a finished request, however it ended."""
        key = (record.route, record.method, record.status, record.outcome)
        end = self._ends.get(key)
        if end is None:
            end = self._resolved(record)
            if len(self._ends) < _MAX_KNOWN:
                self._ends[key] = end
        end.requests.inc()
        end.outcomes.inc()
        if record.first_byte_s is not None:
            end.size.observe(record.response_bytes)
        if not record.waits:
            trace_id = record.trace_id if record.sampled else ""
            end.duration.observe_traced(record.duration_s, trace_id)
            if record.first_byte_s is not None:
                end.first_byte.observe_traced(record.first_byte_s, trace_id)
        if record.error is not None:
            self._failed(record)

    def _failed(self, record: RequestRecord) -> None:
        failure = own_failure(record.error, record.hang_up)
        if failure is not None:
            self._metrics.http_exceptions.labels(record.route, type(failure).__qualname__).inc()

    def _resolved(self, record: RequestRecord) -> _End:
        metrics, route, method = self._metrics, record.route, record.method
        return _End(
            metrics.http_requests.labels(route, method, _status(record.status)),
            metrics.http_outcomes.labels(route, record.outcome),
            cast(GovernedHistogram, metrics.http_duration.labels(route, method)),
            cast(GovernedHistogram, metrics.http_first_byte.labels(route, method)),
            metrics.http_response_size.labels(route, method),
        )


class WebSocketTraffic:
    """Counts WebSockets: their messages while they last, all else at their end."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def begin(self, record: RequestRecord) -> Callable[[], None]:
        """Count a connection as open until the function that is returned is called."""
        record.on_message = _Messages(self._metrics.websocket_messages)
        self._metrics.websocket_open.inc()
        return record.count_in_flight(self._metrics.websocket_open.dec)

    def finish(self, record: RequestRecord) -> None:
        """Count a finished connection, however it ended."""
        metrics, route = self._metrics, record.route
        metrics.websocket_connections.labels(route, record.outcome).inc()
        trace_id = record.trace_id if record.sampled else ""
        cast(GovernedHistogram, metrics.websocket_duration.labels(route)).observe_traced(record.duration_s, trace_id)
        if record.close_code is not None:
            code = str(record.close_code) if record.close_code in _CLOSE_CODES else _OTHER
            metrics.websocket_closes.labels(route, code).inc()


class _Messages:
    """Counts the messages of one connection, whose route is known when the first of them comes."""

    def __init__(self, messages: Counter) -> None:
        self._messages = messages
        self._known: dict[Direction, Counter] = {}

    def __call__(self, record: RequestRecord, direction: Direction) -> None:
        child = self._known.get(direction)
        if child is None:
            child = self._known[direction] = self._messages.labels(record.route_so_far(), direction)
        child.inc()


def _status(status: int) -> str:
    """RFC 9110, section 15: 100 to 599; 0 is ours, for no response. Anything else is the application's invention."""
    return str(status) if status == 0 or 100 <= status <= 599 else _OTHER


__all__ = ["HttpTraffic", "Traffic", "WebSocketTraffic"]
