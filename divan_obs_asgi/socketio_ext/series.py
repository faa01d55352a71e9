"""The series of one handler and of one namespace. They are looked up once: a look-up costs more than counting."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import Gauge

from divan_obs_asgi.connection.event import EventRecord
from divan_obs_asgi.connection.record import Record
from divan_obs_asgi.metrics import Metrics
from divan_obs_asgi.metrics.fast_counters import (
    FastBuckets,
    FastCounter,
    child_of,
    fast_buckets,
    fast_counter,
    fast_increment,
)


class HandlerSeries:
    """
    The labels and series of one handler.

    Attributes:
        namespace, event: as labels.
        plain: whether this is an ordinary event with a handler, and not a connect or disconnect; most are.
        events: how many events were counted.
        finishers: those with which every call begins (`EventHandler`).
    """

    def __init__(self, metrics: Metrics, namespace: str, event: str, *, plain: bool) -> None:
        self._metrics = metrics
        self.namespace = namespace
        self.event = event
        self.plain = plain
        self.route = f"{namespace} {event}"
        # Made at their first use: a connect is not counted as an event, and an event without a handler has no duration.
        self._events: FastCounter | None = None
        self._durations: FastBuckets | None = None
        self.events = 0
        self.finishers: tuple[tuple[str, Callable[[EventRecord], object]], ...] = ()

    def observe(self, record: Record) -> None:
        """Note how long a call took; the exemplar is the trace id, by OTEL_METRICS_EXEMPLAR_FILTER."""
        durations = self._durations
        if durations is None:
            histogram = child_of(self._metrics.socketio_event_duration, self.namespace, self.event)
            durations = self._durations = fast_buckets(histogram)
        durations.observe(record.duration_s, self._metrics.exemplar_of(record))

    def publish(self) -> None:
        """Write the count to the metrics."""
        if self._events is None and self.events:
            self._events = self._tally()
        if self._events is not None:
            self._events.value = self.events
            self._events.flush()

    def _tally(self) -> FastCounter:
        return fast_counter(child_of(self._metrics.socketio_events, self.namespace, self.event))


class SharedHandlerSeries(HandlerSeries):
    """The same for one of several workers: each event is written at once, because another worker may be scraped."""

    _count = 0

    @property
    def events(self) -> int:
        return self._count

    @events.setter
    def events(self, value: int) -> None:
        self._count = value
        if self._events is not None:
            self._events.value = value
        elif value:
            self._events = self._tally()
            self._events.value = value


class NamespaceSeries:
    """The series of one namespace."""

    def __init__(self, metrics: Metrics, label: str) -> None:
        self.emit = fast_increment(child_of(metrics.socketio_emits, label))
        self.recipients = fast_buckets(child_of(metrics.socketio_emit_recipients, label))
        self.delivered = metrics.socketio_pubsub_messages.labels(label, "delivered")
        self.no_member = metrics.socketio_pubsub_messages.labels(label, "no_member")
        self.acks = {state: metrics.socketio_acks.labels(label, state) for state in ("requested", "answered", "late")}
        self.ack_duration = metrics.socketio_ack_duration.labels(label)


class GaugeShare:
    """The part of a gauge that one server adds; other servers of the process add theirs."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._added = 0

    def set(self, value: int) -> None:
        """Change the part of this server to `value`."""
        if value != self._added:
            self._gauge.inc(value - self._added)
            self._added = value


__all__ = ["GaugeShare", "HandlerSeries", "NamespaceSeries", "SharedHandlerSeries"]
