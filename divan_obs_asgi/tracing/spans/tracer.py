"""Server spans of the application's own tracer provider. Requires the extra `tracing`."""

from __future__ import annotations

from copy import copy
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import Tracer
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Span, SpanContext, format_trace_id
from opentelemetry.trace import TracerProvider as AnyTracerProvider

from divan_obs_asgi.connection.record import Record
from divan_obs_asgi.settings import Settings
from divan_obs_asgi.tracing.frameworks import AdoptingSpanProcessor
from divan_obs_asgi.tracing.propagation.parents import EMPTY
from divan_obs_asgi.tracing.spans.server import ERROR, NAME, TEST_SPAN, ServerSpans, TestOutcome, set_ids
from divan_obs_asgi.tracing.spans.tail_sampling import FAILED
from divan_obs_asgi.types import Scope
from divan_obs_asgi.version import __version__


class TracerServerSpans(ServerSpans):
    """Server spans of the application's own provider, made with the public tracer API."""

    def __init__(self, settings: Settings, provider: AnyTracerProvider) -> None:
        super().__init__(settings, provider)
        self._tracer = provider.get_tracer(NAME, __version__)
        self._adopt_framework_spans()
        # A copy of the SDK's tracer that records whatever the sampler of the provider decides.
        self._recording_tracer = copy(self._tracer)
        if isinstance(self._recording_tracer, Tracer):
            self._recording_tracer.sampler = ALWAYS_ON

    def _adopt_framework_spans(self) -> None:
        settings, provider = self._settings, self.provider
        add: Any = getattr(provider, "add_span_processor", None)
        if settings.tracing.native == "defer" and add is not None:
            add(AdoptingSpanProcessor(self.adopt))

    @property
    def exports(self) -> bool:
        return hasattr(self.provider, "force_flush")

    def send_test_span(self, timeout_s: float) -> tuple[str, TestOutcome]:
        span = self._tracer.start_span(TEST_SPAN, EMPTY)
        span.end()
        trace_id = format_trace_id(span.get_span_context().trace_id)
        if not span.get_span_context().trace_flags.sampled:
            return trace_id, "refused"
        flush: Any = self.provider
        return trace_id, "exported" if flush.force_flush(int(timeout_s * 1000)) else "timeout"

    def _new_span(self, scope: Scope, record: Record, parent: SpanContext | None, context: Context) -> Span:
        tracer = self._recording_tracer if record.debug else self._tracer
        span = tracer.start_span(
            record.method,
            context,
            self._kind,
            self._at_start(scope, record),
            self._links(record),
            start_time=record.started_ns,
        )
        set_ids(record, span.get_span_context())
        return span

    def _close(self, span: Any, record: Record) -> None:
        attributes = self._at_end(record)
        if self._old_names:
            self._add_old_names(getattr(span, "attributes", None) or {}, attributes)
        span.update_name(self._name(record))
        span.set_attributes(attributes)
        if record.outcome in FAILED:
            span.set_status(ERROR)
        span.end(record.started_ns + int(record.duration_s * 1e9))


__all__ = ["TracerServerSpans"]
