"""Who is connected: Socket.IO and WebSockets, from the cells of /metrics; never a name, a room or a session id."""

from __future__ import annotations

from divan_obs_asgi.console.cells import buckets, children, quantile, total
from divan_obs_asgi.console.routes import ms
from divan_obs_asgi.console.shapes import HandlerRow, Namespace, Refused, Sockets
from divan_obs_asgi.metrics import Metrics
from divan_obs_asgi.metrics.family import EVENT_BUCKETS_S

_MOST = 50
_EDGES_S = (*EVENT_BUCKETS_S, float("inf"))


class SocketFigures:
    """The figures, with the rate of events between two calls of `tick`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._events: dict[str, float] = {}
        self._rates: dict[str, float] = {}

    def tick(self, lasted_s: float) -> float:
        """Note the number of events by namespace; return the events per second of all of them."""
        events: dict[str, float] = {}
        for (namespace, _), child in children(self._metrics.socketio_events):
            events[namespace] = events.get(namespace, 0.0) + child._value.get()
        before, self._events = self._events, events
        self._rates = {
            name: round(max(0.0, count - before.get(name, count)) / lasted_s, 3) for name, count in events.items()
        }
        return sum(self._rates.values())

    def clients(self) -> float:
        """Return the number of connected clients."""
        return total(self._metrics.socketio_clients)

    def figures(self) -> Sockets:
        """Return what the page shows."""
        metrics = self._metrics
        namespaces: list[Namespace] = [
            {"id": name, "clients": int(child._value.get()), "events_per_s": self._rates.get(name, 0.0)}
            for (name,), child in children(metrics.socketio_clients)
        ]
        failures: dict[str, int] = {}
        for (namespace, event, _), child in children(metrics.socketio_errors):
            key = f"{namespace} {event}"
            failures[key] = failures.get(key, 0) + int(child._value.get())
        handlers: list[HandlerRow] = []
        for (namespace, event), child in children(metrics.socketio_event_duration):
            counts, key = buckets(child), f"{namespace} {event}"
            handlers.append(
                {
                    "id": key,
                    "count": int(sum(counts)),
                    "p95_ms": ms(quantile(0.95, counts, _EDGES_S)),
                    "errors": failures.get(key, 0),
                }
            )
        handlers.sort(key=lambda row: (-(row["p95_ms"] or 0.0), row["id"]))
        refused: dict[str, int] = {}
        for (_, outcome), child in children(metrics.socketio_connects):
            if outcome != "accepted":
                refused[outcome] = refused.get(outcome, 0) + int(child._value.get())
        rows: list[Refused] = [{"id": outcome, "count": count} for outcome, count in refused.items() if count]
        return {
            "namespaces": namespaces[:_MOST],
            "handlers": handlers[:_MOST],
            "refused": rows,
            "websockets": int(metrics.websocket_open._value.get()),
        }


__all__ = ["SocketFigures"]
