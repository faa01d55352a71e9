"""Creates the series of an application's routes at zero, before the first request."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from divan_obs_asgi.connection.request import METHODS, OTHER_METHOD
from divan_obs_asgi.connection.routes import DeclaredRoute, declared_routes

if TYPE_CHECKING:
    from divan_obs_asgi.metrics.registry import Metrics

_FAILURE = 500

_logger = logging.getLogger("divan_obs_asgi.metrics")


class ZeroSeries:
    """
    Creates the series of the routes that an application declares, once.

    If a series begins with its first event, `rate()` misses that event: the first failure of a route would not raise an
    alert.
    """

    def __init__(self, metrics: Metrics, app: object) -> None:
        self._metrics = metrics
        self._app = app
        self._started = False

    def start(self) -> None:
        """Create the series: when the application has started or, without lifespan, at its first request."""
        if self._started:
            return
        self._started = True
        routes = dict.fromkeys(declared_routes(self._app))
        self._warn_of_too_many(list(routes))
        for route in routes:
            if route.methods:
                self._start_requests(route)
            else:
                self._metrics.start_at_zero(
                    self._metrics.websocket_connections, route=[route.template], outcome=["ok", "error"]
                )

    def _start_requests(self, route: DeclaredRoute) -> None:
        metrics, template, methods = self._metrics, [route.template], _method_labels(route)
        statuses = [str(route.status), str(_FAILURE)]
        metrics.start_at_zero(metrics.http_requests, route=template, method=methods, status=statuses)
        metrics.start_at_zero(metrics.http_outcomes, route=template, outcome=["ok", "error"])
        metrics.start_at_zero(metrics.http_duration, route=template, method=methods)

    def _warn_of_too_many(self, routes: list[DeclaredRoute]) -> None:
        pairs = {(route.template, method) for route in routes for method in _method_labels(route)}
        limit = self._metrics.max_series
        if 2 * len(pairs) > limit:
            _logger.warning(
                "The application has %d pairs of route and method. One success and one failure of each are %d label "
                "sets of %s_http_requests_total, but OBS_METRICS_MAX_SERIES is %d. Further ones are counted as "
                "__overflow__. Set it to %d or more.",
                len(pairs),
                2 * len(pairs),
                self._metrics.namespace,
                limit,
                4 * len(pairs),
            )


def _method_labels(route: DeclaredRoute) -> list[str]:
    return [method if method in METHODS else OTHER_METHOD for method in route.methods]


__all__ = ["ZeroSeries"]
