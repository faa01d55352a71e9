"""The server span of a connection. Imported only where tracing is on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    format_span_id,
    format_trace_id,
    set_span_in_context,
)
from opentelemetry.trace import TracerProvider as AnyTracerProvider
from opentelemetry.util.types import AttributeValue

from divan_obs_asgi import headers
from divan_obs_asgi.record import RequestRecord
from divan_obs_asgi.tracing import traceparent
from divan_obs_asgi.tracing.sampling import TraceSampler
from divan_obs_asgi.tracing.span import RecordingSpan, UnsampledSpan
from divan_obs_asgi.types import Scope

_EMPTY = Context()
_baggage = W3CBaggagePropagator()
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_ERROR = Status(StatusCode.ERROR)
# What ends a connection as an error of the service, by the HTTP semantic conventions.
_FAILED = frozenset({"error", "error_after_start", "incomplete"})


class ServerSpans(ABC):
    """Starts and ends server spans through one provider."""

    def __init__(self, provider: AnyTracerProvider) -> None:
        self.provider = provider

    def start(self, scope: Scope, record: RequestRecord) -> tuple[Span, Callable[[], object]]:
        """
        Start the span of `record`, fill its ids, and make it OpenTelemetry's current one.

        Returns:
            the span, and what makes the span that was current before current again.
        """
        parent, context = _parent_of(scope, record)
        record.span = span = self._new_span(record, parent, context)
        before = otel_context.get_current()
        otel_context.attach(set_span_in_context(span, context))
        # Not by a token: a coroutine may be closed in another task than it was started in.
        return span, partial(otel_context.attach, before)

    def finish(self, record: RequestRecord) -> None:
        """End the span of the finished record."""
        span = record.span
        attributes: dict[str, AttributeValue] = {
            "http.request.method": record.method,
            "http.route": record.route,
            "divan.outcome": record.outcome or "",
            "divan.request_id": record.request_id,
        }
        if record.status:
            attributes["http.response.status_code"] = record.status
        if record.close_code is not None:
            attributes["websocket.close_code"] = record.close_code
        status = None
        if record.outcome in _FAILED:
            attributes["error.type"] = _error_type(record)
            status = _ERROR
        ended_ns = record.started_ns + int(record.duration_s * 1e9)
        self._close(span, f"{record.method} {record.route}", attributes, status, ended_ns)

    def flush(self, timeout_ms: int) -> None:
        """Hand queued spans to the exporter; blocks for `timeout_ms` at most."""
        flush: Any = getattr(self.provider, "force_flush", None)
        if flush is not None:
            flush(timeout_ms)

    @abstractmethod
    def _new_span(self, record: RequestRecord, parent: SpanContext | None, context: Context) -> Span:
        """Return a started span, and fill the record's ids and `sampled` from it."""

    @abstractmethod
    def _close(
        self, span: Any, name: str, attributes: dict[str, AttributeValue], status: Status | None, ended_ns: int
    ) -> None: ...


class FastServerSpans(ServerSpans):
    """Server spans of our own, handed to the processors of a provider that was built here."""

    def __init__(self, provider: TracerProvider, processor: SpanProcessor, sampler: TraceSampler, version: str) -> None:
        super().__init__(provider)
        self._sdk = provider
        self._processor = processor
        self._sampler = sampler
        self._scope = InstrumentationScope("divan_obs_asgi", version)

    def _new_span(self, record: RequestRecord, parent: SpanContext | None, context: Context) -> Span:
        ids = self._sdk.id_generator
        span_id = ids.generate_span_id()
        if parent is None:
            trace_id = ids.generate_trace_id()
            sampled = self._sampler.samples(trace_id, None)
            state = None
        else:
            trace_id = parent.trace_id
            sampled = self._sampler.samples(trace_id, parent.trace_flags.sampled)
            state = parent.trace_state
        # Half the cost of formatting.
        record.trace_id = trace_id.to_bytes(16).hex()
        record.span_id = span_id.to_bytes(8).hex()
        record.sampled = sampled
        if not sampled:
            return UnsampledSpan(trace_id, span_id, state)
        identity = SpanContext(trace_id, span_id, False, _SAMPLED, state)
        resource = self._sdk.resource
        span = RecordingSpan(record.method, identity, parent, SpanKind.SERVER, resource, self._scope, record.started_ns)
        self._processor.on_start(span, context)  # type: ignore[arg-type]
        return span

    def _close(
        self, span: Any, name: str, attributes: dict[str, AttributeValue], status: Status | None, ended_ns: int
    ) -> None:
        span.close(name, attributes, status, ended_ns)
        self._processor.on_end(span)


class TracerServerSpans(ServerSpans):
    """Server spans of an application's own provider, through the public tracer API."""

    def __init__(self, provider: AnyTracerProvider, version: str) -> None:
        super().__init__(provider)
        self._tracer = provider.get_tracer("divan_obs_asgi", version)

    def _new_span(self, record: RequestRecord, parent: SpanContext | None, context: Context) -> Span:
        attributes = {"http.request.method": record.method}
        span = self._tracer.start_span(
            record.method, context, SpanKind.SERVER, attributes, start_time=record.started_ns
        )
        identity = span.get_span_context()
        record.trace_id = format_trace_id(identity.trace_id)
        record.span_id = format_span_id(identity.span_id)
        record.sampled = identity.trace_flags.sampled
        return span

    def _close(
        self, span: Any, name: str, attributes: dict[str, AttributeValue], status: Status | None, ended_ns: int
    ) -> None:
        span.update_name(name)
        span.set_attributes(attributes)
        if status is not None:
            span.set_status(status)
        span.end(ended_ns)


def _error_type(record: RequestRecord) -> str:
    """HTTP semantic conventions: the exception's type, else the status; else what happened in place of one."""
    if record.error is not None:
        return type(record.error).__qualname__
    return str(record.status or record.outcome)


def _parent_of(scope: Scope, record: RequestRecord) -> tuple[SpanContext | None, Context]:
    """Read the W3C headers into an empty context: what this task inherited belongs to another request."""
    parent = None
    context = _EMPTY
    present = record.request_headers
    if b"traceparent" in present:
        given = traceparent.parse(headers.values(scope["headers"], b"traceparent"))
        if given is not None:
            parent = _span_context(given, scope, present)
            context = set_span_in_context(NonRecordingSpan(parent), context)
    if b"baggage" in present:
        context = _baggage.extract({"baggage": _joined(scope, b"baggage")}, context)
    return parent, context


def _span_context(parent: traceparent.TraceParent, scope: Scope, present: Mapping[bytes, bytes]) -> SpanContext:
    state = TraceState.from_header([_joined(scope, b"tracestate")]) if b"tracestate" in present else None
    return SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), True, TraceFlags(parent.flags), state)


def _joined(scope: Scope, name: bytes) -> str:
    """RFC 9110, section 5.3: several lines of a list header are one list."""
    return ",".join(value.decode("latin-1") for value in headers.values(scope["headers"], name))


__all__ = ["FastServerSpans", "ServerSpans", "TracerServerSpans"]
