"""Treats the application's own liveness paths like the library's health checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.exceptions import MiddlewareNotUsed
from divan_obs_asgi.middlewares.base import RecordMiddleware
from divan_obs_asgi.ops.paths import path_below_root
from divan_obs_asgi.types import ASGIApp, Scope

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability


class QuietPathsMiddleware(RecordMiddleware):
    """
    Make a request for one of OBS_QUIET_PATHS housekeeping: where it succeeds it is not logged, counted or traced.

    It belongs inside of `MetricsMiddleware`, which counts the request as in flight until this marks it.
    """

    component = "quiet_paths"

    def __init__(self, app: ASGIApp, obs: Observability) -> None:
        if not obs.settings.requests.quiet_paths:
            raise MiddlewareNotUsed("OBS_QUIET_PATHS is empty")
        super().__init__(app, obs)
        self._paths = frozenset(obs.settings.requests.quiet_paths)

    def observe(self, scope: Scope, record: RequestRecord) -> None:
        if record.kind == "http" and path_below_root(scope) in self._paths:
            record.housekeeping = True


__all__ = ["QuietPathsMiddleware"]
