"""Give every connection a server span."""

from __future__ import annotations

from typing import TYPE_CHECKING

from divan_obs_asgi.exceptions import MiddlewareNotUsed
from divan_obs_asgi.record import RequestRecord
from divan_obs_asgi.recording import RecordMiddleware, Undo
from divan_obs_asgi.tracing.traceparent import render
from divan_obs_asgi.types import ASGIApp, Scope

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability


class TracingMiddleware(RecordMiddleware):
    """
    Continue the caller's trace (W3C Trace Context), or start one, and end its span with the record.

    The response carries the `traceparent` of the span (SPEC section 6).
    """

    component = "tracing"

    def __init__(self, app: ASGIApp, obs: Observability) -> None:
        if obs.spans is None:
            raise MiddlewareNotUsed("OBS_TRACING_ENABLED is false")
        super().__init__(app, obs)
        self._spans = obs.spans

    def observe(self, scope: Scope, record: RequestRecord) -> Undo | None:
        if record.span is not None:
            return None  # A stack further out has traced it.
        # FastAPI >= 0.165 and Starlette >= 1.10 start a server span of their own unless they find their keys
        # (PITFALLS P4). Both are private to them; a test at their newest versions watches.
        scope["fastapi.telemetry"] = None
        scope["starlette.opentelemetry"] = True
        span, undo = self._spans.start(scope, record)
        record.set_header(b"traceparent", render(record.trace_id, record.span_id, bool(record.sampled)))
        if span.is_recording():
            record.add_finisher(self.component, self._spans.finish)
        return undo


__all__ = ["TracingMiddleware"]
