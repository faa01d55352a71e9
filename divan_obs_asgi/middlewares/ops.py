"""Serve the ops endpoints in front of the application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from divan_obs_asgi.connection.headers import keep_headers
from divan_obs_asgi.connection.record import RECORD_KEY
from divan_obs_asgi.connection.routes import ROUTE_KEY
from divan_obs_asgi.exceptions import MiddlewareNotUsed
from divan_obs_asgi.ops import build_ops_app
from divan_obs_asgi.ops.own_port import OWN_PORT_KEY
from divan_obs_asgi.ops.paths import path_below_root
from divan_obs_asgi.ops.shadowed import warn_of_shadowed_routes
from divan_obs_asgi.types import ASGIApp, Receive, Scope, Send

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability


class OpsMiddleware:
    """
    Serve `/health/*`, `/metrics` and `/ops/*`, below OBS_OPS_PREFIX; all other paths go to the application.

    With OBS_OPS_PORT only `/health/*` is served on the application's port. That other port serves all of these
    endpoints, without the application.

    It belongs inside of the observing middlewares, so that a failing health or metrics request is logged, traced and
    counted like any other. A successful one is not: a probe every second would hide the traffic.
    """

    def __init__(self, app: ASGIApp, obs: Observability) -> None:
        if not obs.settings.ops.enabled:
            raise MiddlewareNotUsed("OBS_OPS_ENABLED is false")
        self.app = app
        self._ops = build_ops_app(obs)
        self._has_own_port = obs.settings.ops.port is not None
        # Routes may be added until the application has started.
        obs.background.when_started("ops", lambda: self._warn_of_shadowed_routes(app))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = path_below_root(scope)
        if self._ops.owns(path) and not (self._has_own_port and self._is_elsewhere(scope, path)):
            keep_headers(scope)
            scope[ROUTE_KEY] = route = self._ops.route(path)
            record = scope.get(RECORD_KEY)
            if record is not None:
                record.housekeeping = self._ops.is_housekeeping(route)
            await self._ops(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _warn_of_shadowed_routes(self, app: ASGIApp) -> None:
        warn_of_shadowed_routes(app, self._ops, has_own_port=self._has_own_port)

    def _is_elsewhere(self, scope: Scope, path: str) -> bool:
        return OWN_PORT_KEY not in scope and not self._ops.is_for_everybody(path)


__all__ = ["OpsMiddleware"]
