"""Hand the redaction policy to whatever looks at the request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from divan_obs_asgi.exceptions import MiddlewareNotUsed
from divan_obs_asgi.record import RequestRecord
from divan_obs_asgi.recording import RecordMiddleware
from divan_obs_asgi.types import ASGIApp, Scope

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability

REDACTION_KEY = "divan_obs_asgi.redaction"


class RedactionMiddleware(RecordMiddleware):
    """
    Bind the policy to the request, as `scope["divan_obs_asgi.redaction"]`.

    The library's own sinks hold the policy by themselves, with or without this middleware.
    """

    component = "redaction"

    def __init__(self, app: ASGIApp, obs: Observability) -> None:
        if not obs.settings.redaction_enabled:
            raise MiddlewareNotUsed("OBS_REDACTION_ENABLED is false")
        super().__init__(app, obs)

    def observe(self, scope: Scope, record: RequestRecord) -> None:
        scope[REDACTION_KEY] = self.obs.redaction


__all__ = ["RedactionMiddleware"]
