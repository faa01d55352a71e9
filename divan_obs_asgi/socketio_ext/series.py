"""
The series of one handler, and of one namespace: looked up once, since that costs more than counting.

What is counted at every event and packet is counted in plain numbers, which are told to the metrics when somebody
looks: prometheus_client's locks and checks would cost more than all else that is done for an event. One thread writes a
number, that of the event loop; whoever tells it only reads, and remembers how much of it was told.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import cast

from divan_obs_asgi.metrics import Metrics
from divan_obs_asgi.metrics.family import EVENT_BUCKETS_S
from divan_obs_asgi.metrics.governed import GovernedHistogram


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
        self.events = 0
        self._events_told = 0
        # One more for those that are beyond the last edge.
        self._calls = [0] * (len(EVENT_BUCKETS_S) + 1)
        self._calls_told = list(self._calls)
        self._took_s = self._took_told = 0.0

    def took(self, seconds: float) -> None:
        """Note how long a call took."""
        # An edge is part of its bucket.
        self._calls[bisect_left(EVENT_BUCKETS_S, seconds)] += 1
        self._took_s += seconds

    def tell(self) -> None:
        """Have the metrics say what is known here; series are made when there is something in them."""
        events, took_s, calls = self.events, self._took_s, list(self._calls)
        if events != self._events_told:
            self._metrics.socketio_events.labels(self.namespace, self.event).inc(events - self._events_told)
            self._events_told = events
        if calls != self._calls_told:
            duration = cast(GovernedHistogram, self._metrics.socketio_event_duration.labels(self.namespace, self.event))
            duration.add(
                [now - before for now, before in zip(calls, self._calls_told, strict=True)], took_s - self._took_told
            )
            self._took_told, self._calls_told = took_s, calls


class NamespaceSeries:
    """The series of one namespace."""

    def __init__(self, metrics: Metrics, label: str) -> None:
        self.emits = metrics.socketio_emits.labels(label)
        self.recipients = metrics.socketio_emit_recipients.labels(label)
        self.delivered = metrics.socketio_pubsub_messages.labels(label, "delivered")
        self.no_member = metrics.socketio_pubsub_messages.labels(label, "no_member")
        self.acks = {state: metrics.socketio_acks.labels(label, state) for state in ("requested", "answered", "late")}
        self.ack_duration = metrics.socketio_ack_duration.labels(label)


__all__ = ["Handling", "NamespaceSeries"]
