"""The series of one handler, and of one namespace: looked up once, since that costs more than counting."""

from __future__ import annotations

from functools import cached_property

from prometheus_client import Counter, Histogram

from divan_obs_asgi.metrics import Metrics


class Handling:
    """What all calls of one handler have in common: its labels and their series."""

    def __init__(self, metrics: Metrics, namespace: str, event: str) -> None:
        self._metrics = metrics
        self.namespace = namespace
        self.event = event
        self.route = f"{namespace} {event}"

    # Made when they are first needed: a connect is no event, and what has no handler takes no time.

    @cached_property
    def events(self) -> Counter:
        return self._metrics.socketio_events.labels(self.namespace, self.event)

    @cached_property
    def duration(self) -> Histogram:
        return self._metrics.socketio_event_duration.labels(self.namespace, self.event)


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
