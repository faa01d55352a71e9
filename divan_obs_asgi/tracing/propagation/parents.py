"""Whose child a server span is: W3C Trace Context and Baggage of the caller. Imported only where tracing is on."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.baggage import set_baggage
from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN,
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    TraceState,
    get_current_span,
    set_span_in_context,
)

from divan_obs_asgi.connection import headers
from divan_obs_asgi.tracing.propagation import baggage, traceparent, tracestate
from divan_obs_asgi.types import Scope

EMPTY = Context()


class CallersState(TraceState):
    """
    The caller's `tracestate` by the grammar of level 2.

    The SDK knows level 1 only, and leaves out, with a warning for each, members whose keys are of level 2.
    """

    def __init__(self, members: dict[str, str]) -> None:
        self._dict = members

    def add(self, key: str, value: str) -> TraceState:
        return self if key in self._dict else self.update(key, value)

    def update(self, key: str, value: str) -> TraceState:
        others = self._without(key)
        if len(others) >= tracestate.MEMBERS or not tracestate.is_member(key, value):
            return self
        # Section 3.5: what has changed stands at the beginning.
        return CallersState({key: value, **others})

    def delete(self, key: str) -> TraceState:
        return CallersState(self._without(key))

    def _without(self, key: str) -> dict[str, str]:
        return {name: value for name, value in self._dict.items() if name != key}


def parent_of(scope: Scope, present: Mapping[bytes, bytes], context: Context) -> tuple[SpanContext | None, Context]:
    """
    Read the W3C headers.

    Args:
        context: what the caller has left: nothing, or what is current in the one that has called within the process,
            which is the parent where the headers name none.
    """
    if b"traceparent" in present:
        given = traceparent.parse(headers.values(scope["headers"], b"traceparent"))
        parent = _span_context(given, scope, present) if given is not None else None
        if parent is not None or context:
            context = set_span_in_context(NonRecordingSpan(parent) if parent is not None else INVALID_SPAN, context)
    else:
        current = get_current_span(context).get_span_context()
        parent = current if current.is_valid else None
    if b"baggage" in present:
        for name, value in baggage.parse(headers.values(scope["headers"], b"baggage")).items():
            context = set_baggage(name, value, context)
    return parent, context


def _span_context(parent: traceparent.TraceParent, scope: Scope, present: Mapping[bytes, bytes]) -> SpanContext:
    state = None
    if b"tracestate" in present:
        state = CallersState(tracestate.parse(headers.values(scope["headers"], b"tracestate")))
    return SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), True, TraceFlags(parent.flags), state)


__all__ = ["EMPTY", "CallersState", "parent_of"]
