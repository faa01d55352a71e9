"""Count and time every connection."""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING

from divan_obs_asgi.connection.measured import MeasuredRequest
from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.exceptions import MiddlewareNotUsed
from divan_obs_asgi.metrics import HttpTraffic, Traffic, WebSocketTraffic, ZeroSeries
from divan_obs_asgi.metrics.traffic import count_waits
from divan_obs_asgi.middlewares.base import RecordMiddleware, Undo
from divan_obs_asgi.types import ASGIApp, Scope

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability


class MetricsMiddleware(RecordMiddleware):
    """
    Feed `divan_http_*` from the finished record of a request, `divan_websocket_*` from that of a WebSocket.

    A WebSocket and a request that waits are in no HTTP latency: they may last for minutes.
    """

    component = "metrics"

    def __init__(self, app: ASGIApp, obs: Observability) -> None:
        if not obs.settings.metrics.enabled:
            raise MiddlewareNotUsed("OBS_METRICS_ENABLED is false")
        super().__init__(app, obs)
        self._counts_waits = obs.settings.metrics.wait_times
        self._count_waits = partial(count_waits, obs.metrics)
        self._known = ZeroSeries(obs.metrics, app)
        middleware = weakref.ref(self)

        def start() -> None:
            # A weak reference: the metrics hold this function, and must not hold the bundle.
            present = middleware()
            if present is not None:
                present._start()

        obs.background.when_started("known_series", start)
        self._traffic: dict[str, Traffic] = {
            "http": HttpTraffic(obs.metrics, start),
            "websocket": WebSocketTraffic(obs.metrics, start),
        }

    def _start(self) -> None:
        try:
            self._known.start()
        except Exception as error:
            # The route table cannot be read; requests are still counted.
            self.obs.faults.report("known_series", error)

    def observe(self, scope: Scope, record: RequestRecord) -> Undo | None:
        if self._counts_waits and isinstance(record, MeasuredRequest):
            record.add_finisher("wait_times", self._count_waits)
        traffic = self._traffic[record.kind]
        # A stack further out may count it already.
        return traffic.begin(record) if record.add_finisher(self.component, traffic.finish) else None


__all__ = ["MetricsMiddleware"]
