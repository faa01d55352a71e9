"""Give every connection an id, and tell it to the client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from divan_obs_asgi.exceptions import MiddlewareNotUsed
from divan_obs_asgi.headers import new_request_id, valid_request_id
from divan_obs_asgi.record import RequestRecord
from divan_obs_asgi.recording import RecordMiddleware
from divan_obs_asgi.types import ASGIApp, Scope

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability

HEADER = b"x-request-id"


class RequestIdMiddleware(RecordMiddleware):
    """Take the client's `X-Request-Id` where it is well formed, else a new UUID, and send it back."""

    component = "request_id"

    def __init__(self, app: ASGIApp, obs: Observability) -> None:
        if not obs.settings.request_id_enabled:
            raise MiddlewareNotUsed("OBS_REQUEST_ID_ENABLED is false")
        super().__init__(app, obs)

    def observe(self, scope: Scope, record: RequestRecord) -> None:
        if record.request_id:
            return
        given = record.request_headers.get(HEADER)
        record.request_id = request_id = (given and self._told(given)) or new_request_id()
        record.set_header(HEADER, request_id.encode("ascii"))

    def _told(self, given: bytes) -> str | None:
        """Return an id that may stand in every log line: what a client calls so may be its token."""
        request_id = valid_request_id(given)
        return (
            request_id if request_id is not None and self.obs.redaction.redact_text(request_id) == request_id else None
        )


__all__ = ["RequestIdMiddleware"]
