"""Count and time every connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Histogram

from divan_obs_asgi.exceptions import MiddlewareNotUsed
from divan_obs_asgi.record import RequestRecord
from divan_obs_asgi.recording import RecordMiddleware
from divan_obs_asgi.types import ASGIApp, Scope

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability

# Children to remember: `labels()` costs more than counting. Beyond this something invents routes.
_MAX_CHILDREN = 10_000


class MetricsMiddleware(RecordMiddleware):
    """
    Feed `divan_http_*` from the finished record of a request, `divan_websocket_*` from that of a WebSocket.

    A WebSocket lives for minutes and is in no HTTP latency (PITFALLS P26).
    """

    component = "metrics"

    def __init__(self, app: ASGIApp, obs: Observability) -> None:
        if not obs.settings.metrics_enabled:
            raise MiddlewareNotUsed("OBS_METRICS_ENABLED is false")
        super().__init__(app, obs)
        # Counters of one kind of end, and the histogram of its route: a cache, the same for every request.
        self._children: dict[tuple[object, ...], tuple[tuple[Counter, ...], Histogram]] = {}

    def observe(self, scope: Scope, record: RequestRecord) -> None:
        record.add_finisher(self.component, self.finish)

    def finish(self, record: RequestRecord) -> None:
        """Count a finished record."""
        end = (record.kind, record.route, record.method, record.status, record.outcome)
        children = self._children.get(end)
        if children is None:
            children = self._resolve(record)
            if len(self._children) < _MAX_CHILDREN:
                self._children[end] = children
        counters, histogram = children
        for counter in counters:
            counter.inc()
        histogram.observe(record.duration_s)

    def _resolve(self, record: RequestRecord) -> tuple[tuple[Counter, ...], Histogram]:
        metrics = self.obs.metrics
        if record.kind == "websocket":
            connections = metrics.websocket_connections.labels(record.route, record.outcome)
            return (connections,), metrics.websocket_duration.labels(record.route)
        requests = metrics.http_requests.labels(record.route, record.method, _status(record.status))
        outcomes = metrics.http_outcomes.labels(record.route, record.outcome)
        return (requests, outcomes), metrics.http_duration.labels(record.route, record.method)


def _status(status: int) -> str:
    """RFC 9110, section 15: 100 to 599; 0 is ours, for no response. Anything else is the application's invention."""
    return str(status) if status == 0 or 100 <= status <= 599 else "_OTHER"


__all__ = ["MetricsMiddleware"]
