"""Collects ended spans as an exporter receives them. Imported only if tracing is on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.trace import format_span_id, format_trace_id

from divan_obs_asgi.observability import Observability
from divan_obs_asgi.testing.collected import Span
from divan_obs_asgi.tracing.export.redaction import SpanRedactor
from divan_obs_asgi.tracing.global_provider import OwnTracerProvider


class SpanTap(SpanProcessor):
    """
    Passes each ended span of a provider to its listeners.

    Attributes:
        listeners: called with the ended span, in the thread and the context in which it ends.
    """

    def __init__(self) -> None:
        self.listeners: list[Callable[[ReadableSpan], object]] = []

    def on_start(self, span: SdkSpan, parent_context: Context | None = None) -> None:
        """Do nothing."""

    def on_end(self, span: ReadableSpan) -> None:
        for listener in tuple(self.listeners):
            listener(span)

    def shutdown(self) -> None:
        """Do nothing."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


# One for each provider: the SDK cannot remove a processor.
_taps: WeakKeyDictionary[Any, SpanTap] = WeakKeyDictionary()


def tap_of(bundle: Observability) -> SpanTap | None:
    """Return the tap of a bundle's provider; None if it accepts no processors, like those of the OpenTelemetry API."""
    assert bundle.spans is not None
    provider: Any = bundle.spans.provider
    known = _taps.get(provider)
    if known is None and hasattr(provider, "add_span_processor"):
        known = _taps[provider] = SpanTap()
        provider.add_span_processor(known)
    return known


def form_of(bundle: Observability) -> Callable[[ReadableSpan], Span]:
    """Return a function that converts a span to what its exporter receives."""
    assert bundle.spans is not None
    if not isinstance(bundle.spans.provider, OwnTracerProvider):
        # The exporters of a provider of the application receive the span unchanged.
        return as_exported
    # A policy that does not count: that would change the metrics.
    redactor = SpanRedactor(bundle.redaction.having(count=None))
    return lambda span: as_exported(redactor.span(span))


def as_exported(span: ReadableSpan) -> Span:
    """Return a span with everything that tests can assert."""
    context, scope = span.context, span.instrumentation_scope
    attributes = dict(span.attributes or {})
    events = tuple((event.name, dict(event.attributes or {})) for event in span.events)
    links = [dict(link.attributes or {}) for link in span.links]
    scope_texts = (scope.name, scope.version, dict(scope.attributes or {})) if scope is not None else ()
    state = dict(context.trace_state) if context is not None else {}
    return Span(
        name=span.name,
        kind=span.kind.name.lower(),
        status=span.status.status_code.name.lower(),
        trace_id=format_trace_id(context.trace_id) if context is not None else "",
        span_id=format_span_id(context.span_id) if context is not None else "",
        parent_id=format_span_id(span.parent.span_id) if span.parent is not None else "",
        attributes=attributes,
        events=events,
        duration_s=((span.end_time or 0) - (span.start_time or 0)) / 1e9,
        texts=(
            span.name,
            attributes,
            events,
            links,
            span.status.description,
            _plain(span.resource.attributes),
            scope_texts,
            state,
        ),
    )


def _plain(attributes: Mapping[str, object]) -> dict[str, object]:
    return dict(attributes)


__all__ = ["SpanTap", "as_exported", "form_of", "tap_of"]
