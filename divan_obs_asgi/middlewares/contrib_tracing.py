"""Upstream's own server span, for teams that want its exact behaviour. Needs the extra `tracing`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from opentelemetry import context as otel_context
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.trace import Span

from divan_obs_asgi.exceptions import MiddlewareNotUsed
from divan_obs_asgi.record import RECORD_KEY, RequestRecord
from divan_obs_asgi.recording import RecordMiddleware, Undo
from divan_obs_asgi.tracing.current import is_http_suppressed
from divan_obs_asgi.types import ASGIApp, Scope

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability


class ContribTracingMiddleware(RecordMiddleware):
    """
    opentelemetry-instrumentation-asgi in the place of `TracingMiddleware`; the record takes the ids of its span.

    Without spans for single messages. Names, attributes and metrics are upstream's, raw paths among them; OBS_TRACING_*
    and OTEL_SEMCONV_STABILITY_OPT_IN mean what upstream makes of them.
    """

    component = "tracing"

    def __init__(self, app: ASGIApp, obs: Observability) -> None:
        if obs.spans is None:
            raise MiddlewareNotUsed("OBS_TRACING_ENABLED is false")
        self._spans = obs.spans
        contrib = OpenTelemetryMiddleware(
            app,
            tracer_provider=obs.spans.provider,
            server_request_hook=self._adopt,
            exclude_spans=["receive", "send"],
        )
        super().__init__(contrib, obs)

    def observe(self, scope: Scope, record: RequestRecord) -> Undo | None:
        before = otel_context.get_current()
        if is_http_suppressed(before):
            return None  # Upstream sees it, and makes no span.
        if record.span is None:
            # Upstream takes whatever span is current for its parent, and the caller's headers are lost.
            otel_context.attach(self._spans.only_in_headers(scope, record, before))
        return partial(otel_context.attach, before)

    def _adopt(self, span: Span, scope: Scope) -> None:
        record = scope.get(RECORD_KEY)
        if record is not None and record.span is None:
            self._spans.adopt(record, span)


__all__ = ["ContribTracingMiddleware"]
