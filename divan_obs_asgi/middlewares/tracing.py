"""Give every connection a server span."""

from __future__ import annotations

from typing import TYPE_CHECKING

from divan_obs_asgi.exceptions import MiddlewareNotUsed
from divan_obs_asgi.record import RECORD_KEY, RequestRecord
from divan_obs_asgi.recording import RecordMiddleware
from divan_obs_asgi.types import CONNECTIONS, ASGIApp, Receive, Scope, Send

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability

# FastAPI >= 0.165 and Starlette >= 1.10 start a server span of their own unless their key is there
# (PITFALLS P4). Both keys are private to them; a test at their newest versions watches.
_NATIVE_TELEMETRY = {"fastapi.telemetry": None, "starlette.opentelemetry": True}


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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        record = scope.get(RECORD_KEY)
        if record is None or record.span is not None or scope["type"] not in CONNECTIONS:
            # Not ours, not opened yet (the base opens it and calls again), or traced by a stack further out.
            await super().__call__(scope, receive, send)
            return
        before = self._spans.current()
        try:
            self.observe(scope, record)
        except Exception as error:
            self.obs.faults.report(self.component, error)
        try:
            await self.app(scope, receive, send)
        finally:
            self._spans.make_current(before)

    def observe(self, scope: Scope, record: RequestRecord) -> None:
        if record.span is not None:
            return
        self._spans.make_current(self._spans.start(scope, record))
        record.set_header(b"traceparent", self._spans.traceparent(record))
        record.add_finisher(self.component, self._spans.finish)
        scope.update(_NATIVE_TELEMETRY)


__all__ = ["TracingMiddleware"]
