"""The metrics of one `Observability`: an own Prometheus registry, filled from the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from divan_obs_asgi.metrics import catalogue
from divan_obs_asgi.metrics.catalogue import Family
from divan_obs_asgi.metrics.redacted import redacted_types
from divan_obs_asgi.redaction import RedactionPolicy

Metric: TypeAlias = Counter | Gauge | Histogram | Summary

NAMESPACE = "divan"
CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """
    Every family of the catalogue, and those that the application adds.

    Label values and exemplars go through the redaction policy. The registry is not prometheus_client's global one: a
    second `Observability` (tests, a reload) starts at zero and collides with nothing.
    """

    def __init__(self, policy: RedactionPolicy | None = None, namespace: str = NAMESPACE) -> None:
        self.namespace = namespace
        self._types = redacted_types(self.counting(policy or RedactionPolicy(), "metrics"))
        self.registry = CollectorRegistry(auto_describe=True)
        self._metrics: dict[str, Metric] = {}
        for family in catalogue.FAMILIES:
            self._add(family)
        self.http_requests = self._counter(catalogue.HTTP_REQUESTS)
        self.http_duration = self._histogram(catalogue.HTTP_DURATION)
        self.http_outcomes = self._counter(catalogue.HTTP_OUTCOMES)
        self.websocket_connections = self._counter(catalogue.WEBSOCKET_CONNECTIONS)
        self.websocket_duration = self._histogram(catalogue.WEBSOCKET_DURATION)
        self.socketio_clients = self._gauge(catalogue.SOCKETIO_CLIENTS)
        self.socketio_events = self._counter(catalogue.SOCKETIO_EVENTS)
        self.probe_up = self._gauge(catalogue.PROBE_UP)
        self.errors = self._counter(catalogue.ERRORS)
        self.redactions = self._counter(catalogue.REDACTIONS)
        self.logs_dropped = self._counter(catalogue.LOGS_DROPPED)
        self.trace_spans_dropped = self._counter(catalogue.TRACE_SPANS_DROPPED)
        self.jobs_runs = self._counter(catalogue.JOBS_RUNS)
        self.jobs_duration = self._histogram(catalogue.JOBS_DURATION)
        self.jobs_running = self._gauge(catalogue.JOBS_RUNNING)
        self.jobs_last_success = self._gauge(catalogue.JOBS_LAST_SUCCESS)
        self.socketio_event_duration = self._histogram(catalogue.SOCKETIO_EVENT_DURATION)
        self.socketio_errors = self._counter(catalogue.SOCKETIO_ERRORS)
        self.socketio_connects = self._counter(catalogue.SOCKETIO_CONNECTS)
        self.socketio_disconnects = self._counter(catalogue.SOCKETIO_DISCONNECTS)
        self.socketio_gauge_corrections = self._counter(catalogue.SOCKETIO_GAUGE_CORRECTIONS)
        self.socketio_transports = self._gauge(catalogue.SOCKETIO_TRANSPORTS)
        self.socketio_upgrades = self._counter(catalogue.SOCKETIO_UPGRADES)
        self.socketio_packets = self._counter(catalogue.SOCKETIO_PACKETS)
        self.socketio_bytes = self._counter(catalogue.SOCKETIO_BYTES)
        self.socketio_emits = self._counter(catalogue.SOCKETIO_EMITS)
        self.socketio_emit_recipients = self._histogram(catalogue.SOCKETIO_EMIT_RECIPIENTS)
        self.socketio_acks = self._counter(catalogue.SOCKETIO_ACKS)
        self.socketio_ack_duration = self._histogram(catalogue.SOCKETIO_ACK_DURATION)
        self.socketio_room_members = self._histogram(catalogue.SOCKETIO_ROOM_MEMBERS)
        self.socketio_pubsub_messages = self._counter(catalogue.SOCKETIO_PUBSUB_MESSAGES)
        self.redis_stream_lag = self._gauge(catalogue.REDIS_STREAM_LAG)
        self.redis_stream_pending = self._gauge(catalogue.REDIS_STREAM_PENDING)
        self.redis_stream_oldest_pending = self._gauge(catalogue.REDIS_STREAM_OLDEST_PENDING)

    def counter(self, name: str, help: str, labels: Sequence[str] = ()) -> Counter:
        """Return the counter `<namespace>_<name>`, made at the first call; `name` ends in `_total`."""
        return self._counter(Family(name, "counter", tuple(labels), help, "application"))

    def gauge(self, name: str, help: str, labels: Sequence[str] = ()) -> Gauge:
        """Return the gauge `<namespace>_<name>`, made at the first call."""
        return self._gauge(Family(name, "gauge", tuple(labels), help, "application"))

    def histogram(
        self,
        name: str,
        help: str,
        labels: Sequence[str] = (),
        buckets: Sequence[float] = catalogue.DURATION_BUCKETS_S,
    ) -> Histogram:
        """Return the histogram `<namespace>_<name>`, made at the first call; `buckets` are upper edges."""
        return self._histogram(Family(name, "histogram", tuple(labels), help, "application", tuple(buckets)))

    def forget(self, gauge: Gauge, *values: str) -> None:
        """Have the series of a label set be absent, until it is asked for again."""
        # By the values as they are told.
        gauge.remove(*gauge.labels(*values)._labelvalues)

    def counting(self, policy: RedactionPolicy, sink: str) -> RedactionPolicy:
        """Return a policy that counts what it redacts for `sink`."""
        children: dict[str, Counter] = {}

        def count(rule: str) -> None:
            child = children.get(rule)
            if child is None:
                child = children[rule] = self.redactions.labels(rule, sink)
            child.inc()

        return policy.having(count=count)

    def dependency(self, probe: str) -> tuple[Gauge, Summary] | None:
        """Return the `up` gauge and the latency summary of the probes that SPEC names, None for others."""
        up, latency = self._metrics.get(f"{probe}_up"), self._metrics.get(f"{probe}_latency_seconds")
        if isinstance(up, Gauge) and isinstance(latency, Summary):
            return up, latency
        return None

    def render(self) -> bytes:
        """Return all series in Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, family: Family) -> Counter:
        metric = self._add(family)
        assert isinstance(metric, Counter)
        return metric

    def _gauge(self, family: Family) -> Gauge:
        metric = self._add(family)
        assert isinstance(metric, Gauge)
        return metric

    def _histogram(self, family: Family) -> Histogram:
        metric = self._add(family)
        assert isinstance(metric, Histogram)
        return metric

    def _add(self, family: Family) -> Metric:
        known = self._metrics.get(family.name)
        if known is None:
            known = self._metrics[family.name] = self._make(family)
        return known

    def _make(self, family: Family) -> Metric:
        name = f"{self.namespace}_{family.name}"
        types = self._types
        if family.kind == "histogram":
            return types.histogram(name, family.help, family.labels, registry=self.registry, buckets=family.buckets)
        if family.kind == "counter":
            return types.counter(name, family.help, family.labels, registry=self.registry)
        if family.kind == "gauge":
            return types.gauge(name, family.help, family.labels, registry=self.registry, multiprocess_mode=family.mode)
        return types.summary(name, family.help, family.labels, registry=self.registry)


__all__ = ["CONTENT_TYPE", "NAMESPACE", "Metric", "Metrics"]
