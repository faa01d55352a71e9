"""What ends as a span, as its exporter gets it. Imported only where tracing is on."""

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
    Hands each span of a provider to whoever listens.

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


# One for each provider: the SDK has no way to take a processor away.
_taps: WeakKeyDictionary[Any, SpanTap] = WeakKeyDictionary()


def tap_of(bundle: Observability) -> SpanTap | None:
    """Return the tap in the provider of a bundle; None where it takes no processors, as one of the API's own."""
    assert bundle.spans is not None
    provider: Any = bundle.spans.provider
    known = _taps.get(provider)
    if known is None and hasattr(provider, "add_span_processor"):
        known = _taps[provider] = SpanTap()
        provider.add_span_processor(known)
    return known


def form_of(bundle: Observability) -> Callable[[ReadableSpan], Span]:
    """Return what makes of a span what its exporter gets."""
    assert bundle.spans is not None
    if not isinstance(bundle.spans.provider, OwnTracerProvider):
        # The exporters of the application's own provider get it as it is.
        return as_exported
    # A policy that counts nothing: that would be in the metrics.
    redactor = SpanRedactor(bundle.redaction.having(count=None))
    return lambda span: as_exported(redactor.span(span))


def as_exported(span: ReadableSpan) -> Span:
    """Return what there is to be asserted of a span."""
    context, scope = span.context, span.instrumentation_scope
    attributes = dict(span.attributes or {})
    events = tuple((event.name, dict(event.attributes or {})) for event in span.events)
    links = [dict(link.attributes or {}) for link in span.links]
    said_of_scope = (scope.name, scope.version, dict(scope.attributes or {})) if scope is not None else ()
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
            said_of_scope,
            state,
        ),
    )


def _plain(attributes: Mapping[str, object]) -> dict[str, object]:
    return dict(attributes)


__all__ = ["SpanTap", "as_exported", "form_of", "tap_of"]
