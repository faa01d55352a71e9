"""Give every connection an id, and send it to the client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from divan_obs_asgi.connection.headers import values
from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.connection.request_ids import valid_request_id
from divan_obs_asgi.exceptions import MiddlewareNotUsed
from divan_obs_asgi.middlewares.base import RecordMiddleware
from divan_obs_asgi.tracing.propagation import traceparent
from divan_obs_asgi.types import ASGIApp, Scope

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability

_TRACEPARENT = b"traceparent"


class RequestIdMiddleware(RecordMiddleware):
    """
    Use the client's id if it is valid, else make one, and send it back.

    OBS_REQUEST_ID_HEADERS names the request headers, OBS_REQUEST_ID_RESPONSE_HEADER the response header.
    """

    component = "request_id"

    def __init__(self, app: ASGIApp, obs: Observability) -> None:
        settings = obs.settings
        if not settings.requests.id_enabled:
            raise MiddlewareNotUsed("OBS_REQUEST_ID_ENABLED is false")
        super().__init__(app, obs)
        self._accepted = tuple(name.lower().encode("ascii") for name in settings.requests.id_headers)
        self._response_header = settings.requests.id_response_header.lower().encode("ascii")
        self._new_id = obs.new_request_id

    def observe(self, scope: Scope, record: RequestRecord) -> None:
        if record.request_id:
            return
        request_id = ""
        present = record.request_headers
        for name in self._accepted:
            given = present.get(name)
            if given:
                request_id = self._trace_id(scope) if name == _TRACEPARENT else self._trusted(given)
                if request_id:
                    break
        record.request_id = request_id = request_id or self._new_id()
        record.set_header(self._response_header, request_id.encode("ascii"))

    def _trusted(self, given: bytes) -> str:
        """Return the id if it is safe in log lines, else an empty text: a client may send a token as its id."""
        request_id = valid_request_id(given)
        if request_id is None or self.obs.redaction.redact_text(request_id) != request_id:
            return ""
        return request_id

    @staticmethod
    def _trace_id(scope: Scope) -> str:
        """Return the id of the caller's trace, or an empty text where `traceparent` is invalid."""
        parent = traceparent.parse(values(scope["headers"], _TRACEPARENT))
        return "" if parent is None else parent.trace_id


__all__ = ["RequestIdMiddleware"]
