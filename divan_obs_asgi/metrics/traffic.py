"""What is counted of HTTP requests, and of WebSockets, from their records."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from prometheus_client import Counter

from divan_obs_asgi.failures import own_failure
from divan_obs_asgi.metrics.tallies import Tally, bins_of, tally_of
from divan_obs_asgi.record import Direction, RequestRecord

if TYPE_CHECKING:
    from divan_obs_asgi.metrics.registry import Metrics

# Series to remember: `labels()` costs more than counting. Beyond this something invents routes.
_MAX_KNOWN = 10_000
# RFC 6455, section 7.4.1, and what IANA has registered since; from 3000 on they are the applications' own.
_CLOSE_CODES = frozenset({*range(1000, 1004), *range(1005, 1016)})
_OTHER = "_OTHER"


def _nothing() -> None: ...


class Traffic(Protocol):
    """Counts connections of one kind."""

    def begin(self, record: RequestRecord) -> Callable[[], None]: ...

    def finish(self, record: RequestRecord) -> None: ...


class _End:
    """
    What requests of one route, method, status and outcome have in common: their series.

    Attributes:
        count: how many there were.
        at_once: whether it is told after each of them.
    """

    __slots__ = ("_counters", "_told", "at_once", "count", "duration", "first_byte", "size")

    def __init__(self, metrics: Metrics, record: RequestRecord, *, at_once: bool) -> None:
        route, method = record.route, record.method
        self._counters = (
            Tally(metrics.http_requests.labels(route, method, _status(record.status))),
            Tally(metrics.http_outcomes.labels(route, record.outcome)),
        )
        self.duration = bins_of(metrics.http_duration.labels(route, method))
        self.first_byte = bins_of(metrics.http_first_byte.labels(route, method))
        self.size = bins_of(metrics.http_response_size.labels(route, method))
        self.count = self._told = 0
        self.at_once = at_once

    def tell(self) -> None:
        """Have the metrics say what is known here."""
        count = self.count
        if count == self._told:
            return
        self._told = count
        for counter in self._counters:
            counter.value = count
            counter.tell()
        self.duration.tell()
        self.first_byte.tell()
        self.size.tell()


class HttpTraffic:
    """
    Counts requests. What `waits` is counted, and in no latency.

    Args:
        known: called before a request of a new kind is counted.
    """

    def __init__(self, metrics: Metrics, known: Callable[[], object] = _nothing) -> None:
        self._metrics = metrics
        self._known = known
        self._ends: dict[tuple[object, ...], _End] = {}
        self._in_flight = tally_of(metrics.http_in_flight)
        # Other workers read what this one counts, and cannot ask it; where it is killed, nobody can.
        self._at_once = metrics.workers is not None
        if not self._at_once:
            metrics.registry.before.append(self.tell)

    def begin(self, record: RequestRecord) -> Callable[[], None]:
        """Count a request as in flight until the function that is returned is called."""
        self._in_flight.value += 1
        return record.count_in_flight(self._left)

    def _left(self) -> None:
        self._in_flight.value -= 1

    def finish(self, record: RequestRecord) -> None:
        """Count a finished request, however it ended."""
        key = (record.route, record.method, record.status, record.outcome)
        end = self._ends.get(key) or self._resolved(key, record)
        end.count += 1
        first_byte_s = record.first_byte_s
        if first_byte_s is not None:
            end.size.observe(record.response_bytes)
        if not record.waits:
            trace = _trace_of(record) if record.sampled else None
            end.duration.observe(record.duration_s, trace)
            if first_byte_s is not None:
                end.first_byte.observe(first_byte_s, trace)
        if record.error is not None:
            self._failed(record)
        if end.at_once:
            end.tell()

    def tell(self) -> None:
        """Have the metrics say what is known here."""
        self._in_flight.tell()
        for end in tuple(self._ends.values()):
            end.tell()

    def _failed(self, record: RequestRecord) -> None:
        failure = own_failure(record.error, record.hang_up)
        if failure is not None:
            self._metrics.http_exceptions.labels(record.route, type(failure).__qualname__).inc()

    def _resolved(self, key: tuple[object, ...], record: RequestRecord) -> _End:
        self._known()
        full = len(self._ends) >= _MAX_KNOWN
        end = _End(self._metrics, record, at_once=self._at_once or full)
        if not full:
            self._ends[key] = end
        return end


def _trace_of(record: RequestRecord) -> tuple[str, float]:
    """Return what an exemplar tells: the trace, and when it was."""
    return record.trace_id, record.started_ns / 1e9 + record.duration_s


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
        duration = bins_of(metrics.websocket_duration.labels(route))
        duration.observe(record.duration_s, _trace_of(record) if record.sampled else None)
        duration.tell()
        if record.close_code is not None:
            code = str(record.close_code) if record.close_code in _CLOSE_CODES else _OTHER
            metrics.websocket_closes.labels(route, code).inc()


class _Messages:
    """Counts the messages of one connection, whose route is known when the first of them comes."""

    def __init__(self, messages: Counter) -> None:
        self._messages = messages
        self._known: dict[Direction, Tally] = {}

    def __call__(self, record: RequestRecord, direction: Direction) -> None:
        tally = self._known.get(direction)
        if tally is None:
            tally = self._known[direction] = Tally(self._messages.labels(record.route_so_far(), direction))
        tally.value += 1
        tally.tell()


def _status(status: int) -> str:
    """RFC 9110, section 15: 100 to 599; 0 is ours, for no response. Anything else is the application's invention."""
    return str(status) if status == 0 or 100 <= status <= 599 else _OTHER


__all__ = ["HttpTraffic", "Traffic", "WebSocketTraffic"]
