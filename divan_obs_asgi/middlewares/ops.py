"""Serve the ops endpoints in front of the application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from divan_obs_asgi.exceptions import MiddlewareNotUsed
from divan_obs_asgi.ops import build_ops_app
from divan_obs_asgi.ops.paths import path_below_root
from divan_obs_asgi.record import RECORD_KEY
from divan_obs_asgi.routes import ROUTE_KEY
from divan_obs_asgi.types import ASGIApp, Receive, Scope, Send

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability

# Below here an operator changes something, and that is always told.
_DEEDS = "/ops/"


class OpsMiddleware:
    """
    Answer `/health/*`, `/metrics` and `/ops/*`; everything else is the application's.

    It stands inside the observing middlewares, so that a failing health or metrics request is logged, traced and
    counted like any other. A successful one is not: a probe every second is no traffic.
    """

    def __init__(self, app: ASGIApp, obs: Observability) -> None:
        if not obs.settings.ops_enabled:
            raise MiddlewareNotUsed("OBS_OPS_ENABLED is false")
        self.app = app
        self._ops = build_ops_app(obs)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = path_below_root(scope)
        if self._ops.owns(path):
            scope[ROUTE_KEY] = route = self._ops.route(path)
            record = scope.get(RECORD_KEY)
            if record is not None:
                record.housekeeping = not route.startswith(_DEEDS)
            await self._ops(scope, receive, send)
            return
        await self.app(scope, receive, send)


__all__ = ["OpsMiddleware"]
