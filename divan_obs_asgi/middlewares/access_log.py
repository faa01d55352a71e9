"""One JSON line for every connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.exceptions import MiddlewareNotUsed
from divan_obs_asgi.middlewares.base import RecordMiddleware
from divan_obs_asgi.types import ASGIApp, Scope

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability


class AccessLogMiddleware(RecordMiddleware):
    """Write one line for the finished record, with the fields that docs/logs.md lists."""

    component = "access_log"

    def __init__(self, app: ASGIApp, obs: Observability) -> None:
        if not obs.settings.logs.access_enabled:
            raise MiddlewareNotUsed("OBS_ACCESS_LOG_ENABLED is false")
        super().__init__(app, obs)

    def observe(self, scope: Scope, record: RequestRecord) -> None:
        record.add_finisher(self.component, self.obs.log.access)


__all__ = ["AccessLogMiddleware"]
