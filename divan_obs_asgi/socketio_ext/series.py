"""The series of one handler, and of one namespace: looked up once, since that costs more than counting."""

from __future__ import annotations

from prometheus_client import Gauge

from divan_obs_asgi.connection.record import RequestRecord
from divan_obs_asgi.metrics import Metrics
from divan_obs_asgi.metrics.fast_counters import (
    FastBuckets,
    FastCounter,
    child_of,
    fast_buckets,
    fast_counter,
    trace_of,
)


class Handling:
    """
    What all calls of one handler have in common: its labels and their series.

    Attributes:
        namespace, event: as labels.
        plain: whether it is an event of a client's, for which there is a handler; most are.
        events: how many of them there were.
    """

    def __init__(self, metrics: Metrics, namespace: str, event: str, *, plain: bool) -> None:
        self._metrics = metrics
        self.namespace = namespace
        self.event = event
        self.plain = plain
        self.route = f"{namespace} {event}"
        # Made when there is something in them: a connect is no event, and what has no handler takes no time.
        self._events: FastCounter | None = None
        self._durations: FastBuckets | None = None
        self.events = 0

    def took(self, record: RequestRecord) -> None:
        """Note how long a call took; of a sampled trace its id is the exemplar."""
        durations = self._durations
        if durations is None:
            histogram = child_of(self._metrics.socketio_event_duration, self.namespace, self.event)
            durations = self._durations = fast_buckets(histogram)
        durations.observe(record.duration_s, trace_of(record) if record.sampled else None)

    def tell(self) -> None:
        """Have the metrics say what is known here."""
        if self._events is None and self.events:
            self._events = self._tally()
        if self._events is not None:
            self._events.value = self.events
            self._events.flush()

    def _tally(self) -> FastCounter:
        return fast_counter(child_of(self._metrics.socketio_events, self.namespace, self.event))


class SharedHandling(Handling):
    """That of one worker among several: each event is told at once, for the others cannot ask this one."""

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
        self.emits = metrics.socketio_emits.labels(label)
        self.recipients = metrics.socketio_emit_recipients.labels(label)
        self.delivered = metrics.socketio_pubsub_messages.labels(label, "delivered")
        self.no_member = metrics.socketio_pubsub_messages.labels(label, "no_member")
        self.acks = {state: metrics.socketio_acks.labels(label, state) for state in ("requested", "answered", "late")}
        self.ack_duration = metrics.socketio_ack_duration.labels(label)


class Share:
    """What one server adds to a gauge: others of the same process add theirs."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._told = 0

    def tell(self, value: int) -> None:
        if value != self._told:
            self._gauge.inc(value - self._told)
            self._told = value


__all__ = ["Handling", "NamespaceSeries", "Share", "SharedHandling"]
