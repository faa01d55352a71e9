"""OTEL_SDK_DISABLED: no spans, and the caller's trace goes on. Requires the extra `tracing`."""

from __future__ import annotations

from collections.abc import Callable

from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, NonRecordingSpan, NoOpTracerProvider, Span, SpanContext

from divan_obs_asgi.connection.record import Record
from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.settings import Settings
from divan_obs_asgi.tracing.spans.server import set_ids
from divan_obs_asgi.tracing.spans.tracer import TracerServerSpans
from divan_obs_asgi.types import Scope


class DisabledServerSpans(TracerServerSpans):
    """
    The spans of OpenTelemetry's no-op tracer.

    The specification leaves propagators working: an outgoing call has the ids of the caller, who is the parent of the
    next service's span. Log lines have them too. Without a caller there are no ids.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, NoOpTracerProvider())

    @property
    def exports(self) -> bool:
        return False

    def _new_span(self, scope: Scope, record: Record, parent: SpanContext | None, context: Context) -> Span:
        # The no-op tracer itself returns the caller's span only in newer versions of the API (not in 1.39).
        if parent is None:
            return INVALID_SPAN
        set_ids(record, parent)
        return NonRecordingSpan(parent)

    def defer(self, scope: Scope, record: RequestRecord) -> Callable[[], object]:
        """Start nothing: the frameworks' spans are disabled too, so no span would be adopted."""
        return self.start(scope, record)


__all__ = ["DisabledServerSpans"]
