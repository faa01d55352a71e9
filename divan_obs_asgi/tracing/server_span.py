"""The server span of a connection. Imported only where tracing is on."""

from __future__ import annotations

from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    Tracer,
    TracerProvider,
    TraceState,
    format_span_id,
    format_trace_id,
    set_span_in_context,
)

from divan_obs_asgi import headers
from divan_obs_asgi.record import RequestRecord
from divan_obs_asgi.tracing import traceparent
from divan_obs_asgi.types import RawHeaders, Scope

_EMPTY = Context()
_baggage = W3CBaggagePropagator()
# What ends a connection as an error of the service, by the HTTP semantic conventions.
_FAILED = frozenset({"error", "error_after_start", "incomplete"})


class ServerSpans:
    """Starts and ends server spans through one provider."""

    def __init__(self, provider: TracerProvider, version: str) -> None:
        self.provider = provider
        self._tracer: Tracer = provider.get_tracer("divan_obs_asgi", version)

    def start(self, scope: Scope, record: RequestRecord) -> Context:
        """Start the span of `record`, fill its ids, and return the context in which the application runs."""
        parent = _parent_context(scope["headers"])
        attributes: dict[str, str] = {"http.request.method": record.method, "url.scheme": scope.get("scheme", "http")}
        span = self._tracer.start_span(record.method, parent, SpanKind.SERVER, attributes, start_time=record.started_ns)
        identity = span.get_span_context()
        record.span = span
        record.trace_id = format_trace_id(identity.trace_id)
        record.span_id = format_span_id(identity.span_id)
        record.sampled = identity.trace_flags.sampled
        return set_span_in_context(span, parent)

    def finish(self, record: RequestRecord) -> None:
        """End the span of the finished record."""
        span = record.span
        if not span.is_recording():
            return
        span.update_name(f"{record.method} {record.route}")
        attributes: dict[str, Any] = {"http.route": record.route, "divan.outcome": record.outcome}
        if record.status:
            attributes["http.response.status_code"] = record.status
        if record.outcome in _FAILED:
            attributes["error.type"] = _error_type(record)
            span.set_status(StatusCode.ERROR)
        if record.request_id:
            attributes["divan.request_id"] = record.request_id
        if record.close_code is not None:
            attributes["websocket.close_code"] = record.close_code
        span.set_attributes(attributes)
        span.end(record.started_ns + int(record.duration_s * 1e9))

    def traceparent(self, record: RequestRecord) -> bytes:
        """Return the `traceparent` that names the span of `record`."""
        return traceparent.render(record.trace_id, record.span_id, bool(record.sampled))

    def current(self) -> Context:
        """Return OpenTelemetry's current context."""
        return otel_context.get_current()

    def make_current(self, context: Context) -> None:
        """Make `context` OpenTelemetry's current one, without a token: a coroutine may be closed in another task."""
        otel_context.attach(context)


def _error_type(record: RequestRecord) -> str:
    """HTTP semantic conventions: the exception's type, else the status; else what happened in place of one."""
    if record.error is not None:
        return type(record.error).__qualname__
    return str(record.status or record.outcome)


def _parent_context(raw: RawHeaders) -> Context:
    """Read the W3C headers into an empty context: what this task inherited belongs to another request."""
    context = _EMPTY
    parent = traceparent.parse(headers.find_all(raw, b"traceparent"))
    if parent is not None:
        states = headers.find_all(raw, b"tracestate")
        span = SpanContext(
            int(parent.trace_id, 16),
            int(parent.span_id, 16),
            is_remote=True,
            trace_flags=TraceFlags(parent.flags),
            trace_state=TraceState.from_header([state.decode("latin-1") for state in states]) if states else None,
        )
        context = set_span_in_context(NonRecordingSpan(span), context)
    baggage = headers.find_all(raw, b"baggage")
    if baggage:
        context = _baggage.extract({"baggage": ",".join(value.decode("latin-1") for value in baggage)}, context)
    return context


__all__ = ["ServerSpans"]
