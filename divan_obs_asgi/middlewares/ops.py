"""Serve the ops endpoints in front of the application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from divan_obs_asgi.exceptions import MiddlewareNotUsed
from divan_obs_asgi.ops import build_ops_app
from divan_obs_asgi.types import ASGIApp, Receive, Scope, Send

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability


class OpsMiddleware:
    """
    Answer `/health/*`, `/metrics` and `/ops/*`; everything else is the application's.

    It stands outside the observing middlewares: a probe every second is no traffic to log, trace or count.
    """

    def __init__(self, app: ASGIApp, obs: Observability) -> None:
        if not obs.settings.ops_enabled:
            raise MiddlewareNotUsed("OBS_OPS_ENABLED is false")
        self.app = app
        self._ops = build_ops_app(obs)
        self._paths = frozenset(route.path for route in self._ops.routes if hasattr(route, "path"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        root = scope.get("root_path", "")
        path = scope["path"]
        if (path.removeprefix(root) if root else path) in self._paths:
            # A copy: the ops application leaves its own marks in the scope.
            await self._ops(dict(scope), receive, send)
            return
        await self.app(scope, receive, send)


__all__ = ["OpsMiddleware"]
