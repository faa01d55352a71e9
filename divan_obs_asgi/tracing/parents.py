"""Whose child a server span is: W3C Trace Context and Baggage of the caller. Imported only where tracing is on."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.baggage import set_baggage
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState, set_span_in_context

from divan_obs_asgi import headers
from divan_obs_asgi.tracing import baggage, traceparent, tracestate
from divan_obs_asgi.types import Scope

EMPTY = Context()


def parent_of(scope: Scope, present: Mapping[bytes, bytes]) -> tuple[SpanContext | None, Context]:
    """Read the W3C headers into an empty context."""
    parent = None
    context = EMPTY
    if b"traceparent" in present:
        given = traceparent.parse(headers.values(scope["headers"], b"traceparent"))
        if given is not None:
            parent = _span_context(given, scope, present)
            context = set_span_in_context(NonRecordingSpan(parent), context)
    if b"baggage" in present:
        for name, value in baggage.parse(headers.values(scope["headers"], b"baggage")).items():
            context = set_baggage(name, value, context)
    return parent, context


def _span_context(parent: traceparent.TraceParent, scope: Scope, present: Mapping[bytes, bytes]) -> SpanContext:
    state = None
    if b"tracestate" in present:
        state = TraceState(tracestate.parse(headers.values(scope["headers"], b"tracestate")))
    return SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), True, TraceFlags(parent.flags), state)


__all__ = ["EMPTY", "parent_of"]
