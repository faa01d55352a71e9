"""Provides a redacted view of the request to the application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.exceptions import MiddlewareNotUsed
from divan_obs_asgi.middlewares.base import RecordMiddleware
from divan_obs_asgi.middlewares.error_bodies import RedactedErrorBodies
from divan_obs_asgi.redaction import RedactedRequest
from divan_obs_asgi.types import ASGIApp, Scope

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability

REDACTION_KEY = "divan_obs_asgi.redaction"


class RedactionMiddleware(RecordMiddleware):
    """
    Set `scope["divan_obs_asgi.redaction"]` to a `RedactedRequest`, a view of the request that is safe to log.

    With OBS_REDACT_ERROR_BODIES it also redacts the bodies of error responses. The library's own sinks are redacted
    with or without this middleware.
    """

    component = "redaction"

    def __init__(self, app: ASGIApp, obs: Observability) -> None:
        if not obs.settings.redaction.request_view_enabled:
            raise MiddlewareNotUsed("OBS_REQUEST_VIEW_ENABLED is false")
        super().__init__(RedactedErrorBodies(app, obs) if obs.settings.redaction.error_bodies else app, obs)

    def observe(self, scope: Scope, record: RequestRecord) -> None:
        scope[REDACTION_KEY] = RedactedRequest(
            self.obs.redaction, scope.get("headers", ()), scope.get("query_string", b"")
        )


__all__ = ["RedactionMiddleware"]
