"""Counts what happens in a Socket.IO server."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from time import perf_counter
from typing import Any

from divan_obs_asgi.connection.event import EventHandler, EventRecord
from divan_obs_asgi.internal_errors import InternalErrors
from divan_obs_asgi.metrics import Metrics
from divan_obs_asgi.metrics.fast_counters import child_of, fast_counter
from divan_obs_asgi.names import class_name
from divan_obs_asgi.socketio_ext.clients import Clients
from divan_obs_asgi.socketio_ext.names import UNKNOWN, Names
from divan_obs_asgi.socketio_ext.refusals import CONNECTS, Refusals
from divan_obs_asgi.socketio_ext.refusals import REASONS as REFUSALS
from divan_obs_asgi.socketio_ext.series import HandlerSeries, NamespaceSeries, SharedHandlerSeries
from divan_obs_asgi.socketio_ext.transports import Transports

COMPONENT = "socketio"
# The labels of the reasons in engineio.Server.reason; other reasons are the application's own.
REASONS = {
    "client disconnect": "client_disconnect",
    "server disconnect": "server_disconnect",
    "ping timeout": "ping_timeout",
    "transport close": "transport_close",
    "transport error": "transport_error",
}
OTHER = "other"
# At most so many classes of exceptions become labels: an application may make classes while it runs.
_MAX_TYPES = 100
OTHER_TYPE = "_OTHER"


class PendingCall:
    """A `call` that waits for the client's acknowledgement until it gives up."""

    gave_up = False


class ServerMetrics:
    """
    Counts; never raises.

    Series are looked up once: `labels()` costs more than counting. Only names with a handler are remembered, so that
    clients cannot make anything grow.
    """

    def __init__(self, metrics: Metrics, names: Names, faults: InternalErrors) -> None:
        self._metrics = metrics
        self._names = names
        self._faults = faults
        self.clients = Clients(metrics, names)
        self.transports = Transports(metrics)
        self.refusals = Refusals(metrics, faults)
        packets, sizes = metrics.socketio_packets, metrics.socketio_bytes
        self.packets_in, self._packets_out = (fast_counter(child_of(packets, way)) for way in ("in", "out"))
        self.bytes_in, self._bytes_out = (fast_counter(child_of(sizes, way)) for way in ("in", "out"))
        self.handlers: dict[tuple[str, str], HandlerSeries] = {}
        self.event_sinks: tuple[tuple[str, Callable[[EventRecord], object]], ...] = ()
        self._namespaces: dict[str, NamespaceSeries] = {}
        self._types: set[str] = set()
        self._publishing = Lock()
        if metrics.workers is None:
            self._make_series = HandlerSeries
            metrics.registry.before.append(self.publish)
        else:
            self._make_series = SharedHandlerSeries

    def start_at_zero(self) -> None:
        """Create the series of all handlers, at zero."""
        metrics = self._metrics
        metrics.start_at_zero(metrics.socketio_refused, reason=list(REFUSALS))
        for namespace, events in self._names.declared().items():
            self.series(namespace)
            at = {"namespace": [namespace]}
            metrics.start_at_zero(metrics.socketio_clients, **at)
            metrics.start_at_zero(metrics.socketio_connects, **at, outcome=["accepted", "refused", "error"])
            metrics.start_at_zero(metrics.socketio_disconnects, **at, reason=[*REASONS.values(), OTHER])
            metrics.start_at_zero(metrics.socketio_events, **at, event=events)

    # Handlers.

    def handler(self, namespace: str, event: Any) -> HandlerSeries:
        """Return the series of a handler; events without a handler share theirs."""
        label, name = self._names.namespace(namespace), self._names.event(namespace, event)
        handler = self.handlers.get((label, name))
        if handler is None:
            plain = name is not UNKNOWN and name not in self._names.reserved
            handler = self.handlers[label, name] = self._make_series(self._metrics, label, name, plain=plain)
            handler.finishers = (("metrics", handler.observe), *self.event_sinks)
        return handler

    def failed(self, handler: EventHandler, error: BaseException) -> None:
        """Count an exception of a handler."""
        kind = class_name(type(error))
        if kind not in self._types:
            if len(self._types) >= _MAX_TYPES:
                kind = OTHER_TYPE
            self._types.add(kind)
        self._metrics.socketio_errors.labels(handler.namespace, handler.event, kind).inc()

    def connect(self, namespace: str, outcome: str) -> None:
        """Count a client that asked to connect."""
        self._safely(lambda: self._metrics.socketio_connects.labels(self._names.namespace(namespace), outcome).inc())
        if outcome in CONNECTS:
            self.refusals.refuse(CONNECTS[outcome])

    def disconnect(self, namespace: str, reason: str) -> None:
        """Count a disconnect, by the label of its reason."""
        self._metrics.socketio_disconnects.labels(self._names.namespace(namespace), reason).inc()

    # The manager.

    def joined(self, sid: str, namespace: str) -> None:
        self._safely(self.clients.joined, sid, namespace)

    def left(self, sid: str, namespace: str) -> None:
        self._safely(self.clients.left, sid, namespace)

    def emitted(self, namespace: str) -> None:
        self._safely(self._emitted, namespace)

    def _emitted(self, namespace: str) -> None:
        self.series(namespace).emit(1.0)

    def reached(self, namespace: str, members: int) -> None:
        self._safely(self._reached, namespace, members)

    def _reached(self, namespace: str, members: int) -> None:
        self.series(namespace).recipients.observe(members)

    def heard(self, namespace: str, members: int) -> None:
        """Count an emit of another process."""
        self._safely(self._heard, namespace, members)

    def _heard(self, namespace: str, members: int) -> None:
        series = self.series(namespace)
        (series.delivered if members else series.no_member).inc()

    def series(self, namespace: str) -> NamespaceSeries:
        """Return the series of a namespace."""
        label = self._names.namespace(namespace)
        series = self._namespaces.get(label)
        if series is None:
            series = self._namespaces[label] = NamespaceSeries(self._metrics, label)
        return series

    # Engine.IO.

    def opened(self, eio_sid: str, environ: Any) -> None:
        self._safely(self.transports.opened, eio_sid, environ)

    def closed(self, eio_sid: str) -> None:
        self._safely(self.transports.closed, eio_sid)

    def packet_out(self, data: object) -> None:
        self._packets_out.value += 1
        self._bytes_out.value += size(data)

    # All of them.

    def publish(self) -> None:
        """Copy the counts to the metrics; called in every thread that reads them, and never raises."""
        with self._publishing:
            self._safely(self._publish)

    def _publish(self) -> None:
        for tally in (self.packets_in, self.bytes_in, self._packets_out, self._bytes_out):
            tally.flush()
        for handler in tuple(self.handlers.values()):
            handler.publish()

    def reconcile(self, manager: Any, sockets: Any) -> None:
        """Compare the gauges with what the server holds."""
        self._safely(self.clients.reconcile, manager)
        self._safely(self.transports.reconcile, sockets)

    def timed(self, namespace: str, callback: Callable[..., Any], pending: PendingCall | None) -> Callable[..., Any]:
        """Return the callback of an emit, counted and timed when the client acknowledges."""
        series = self.series(namespace)
        series.acks["requested"].inc()
        started = perf_counter()

        def count(now: float) -> None:
            series.acks["late" if pending is not None and pending.gave_up else "answered"].inc()
            series.ack_duration.observe(now - started)

        def acknowledged(*args: Any) -> Any:
            self._safely(count, perf_counter())
            return callback(*args)

        return acknowledged

    def report(self, error: Exception) -> None:
        """Count and log an internal error of this class."""
        self._faults.report(COMPONENT, error)

    def _safely(self, count: Callable[..., object], *args: Any) -> None:
        try:
            count(*args)
        except Exception as error:
            self.report(error)


def size(data: object) -> int:
    """Return the size of a packet in bytes; 0 for a value that Engine.IO has read as JSON."""
    if isinstance(data, str):
        return len(data) if data.isascii() else len(data.encode("utf-8", "replace"))
    return len(data) if isinstance(data, (bytes, bytearray)) else 0


def label_of(reason: object) -> str:
    """Return the label of a reason for a disconnect."""
    return REASONS.get(reason, OTHER) if isinstance(reason, str) else OTHER


__all__ = ["COMPONENT", "OTHER", "OTHER_TYPE", "REASONS", "PendingCall", "ServerMetrics", "label_of", "size"]
