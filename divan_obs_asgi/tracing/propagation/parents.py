"""The parent of a server span: W3C Trace Context and Baggage of the caller. Requires the extra `tracing`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

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
from divan_obs_asgi.otlp.sdk_private import StateMembers
from divan_obs_asgi.tracing.propagation import traceparent, tracestate
from divan_obs_asgi.types import Scope

EMPTY = Context()
# W3C Baggage, section 3.2: a token, "=", and characters except space, quotes, comma, semicolon and backslash.
_BAGGAGE_MEMBER = re.compile(
    r"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,256})[ \t]*=[ \t]*([\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*)[ \t]*(?:;.*)?"
)
# W3C Baggage, section 3.3.2.
_MAX_BAGGAGE_MEMBERS = 64
_MAX_BAGGAGE_LENGTH = 8192


class CallerTraceState(StateMembers):
    """
    The caller's `tracestate`, by the grammar of level 2.

    The SDK supports level 1 only. It drops members whose keys are of level 2, and logs a warning for each of them.
    """

    def add(self, key: str, value: str) -> TraceState:
        return self if key in self else self.update(key, value)

    def update(self, key: str, value: str) -> TraceState:
        others = self._without(key)
        if len(others) >= tracestate.MEMBERS or not tracestate.is_member(key, value):
            return self
        # Section 3.5: a modified member moves to the beginning.
        return CallerTraceState({key: value, **others})

    def delete(self, key: str) -> TraceState:
        return CallerTraceState(self._without(key))

    def _without(self, key: str) -> dict[str, str]:
        return {name: value for name, value in self.items() if name != key}


def parent_of(scope: Scope, present: Mapping[bytes, bytes], context: Context) -> tuple[SpanContext | None, Context]:
    """
    Return the parent span and the context that the W3C headers describe.

    Args:
        context: empty, or the current context of a caller in the same process. Its span is the parent if the headers
            do not name one.
    """
    if b"traceparent" in present:
        given = traceparent.parse(headers.values(scope["headers"], b"traceparent"))
        parent = _span_context(given, scope, present) if given is not None else None
        if parent is not None or context:
            context = set_span_in_context(NonRecordingSpan(parent) if parent is not None else INVALID_SPAN, context)
    else:
        current = get_current_span(context).get_span_context()
        parent = current if current.is_valid else None
    return parent, with_baggage(scope, present, context)


def caller_in_traceparent(scope: Scope, present: Mapping[bytes, bytes], context: Context) -> Context:
    """Return `context` with the span of `traceparent`."""
    if b"traceparent" not in present:
        return context
    given = traceparent.parse(headers.values(scope["headers"], b"traceparent"))
    span = INVALID_SPAN if given is None else NonRecordingSpan(_span_context(given, scope, present))
    return set_span_in_context(span, context)


def with_baggage(scope: Scope, present: Mapping[bytes, bytes], context: Context) -> Context:
    """Return `context` with the members of `baggage`."""
    if b"baggage" in present:
        for name, value in parse_baggage(headers.values(scope["headers"], b"baggage")).items():
            context = set_baggage(name, value, context)
    return context


def _span_context(parent: traceparent.TraceParent, scope: Scope, present: Mapping[bytes, bytes]) -> SpanContext:
    state = None
    if b"tracestate" in present:
        state = CallerTraceState(tracestate.parse(headers.values(scope["headers"], b"tracestate")))
    return SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), True, TraceFlags(parent.flags), state)


def parse_baggage(values: list[bytes]) -> dict[str, str]:
    """
    Return the well-formed members of all `baggage` headers, without their properties.

    The SDK's propagator is not used: for each malformed member it logs a warning with the client's text.
    """
    text = ",".join(value.decode("latin-1") for value in values)
    if len(text) > _MAX_BAGGAGE_LENGTH:
        return {}
    found: dict[str, str] = {}
    for part in text.split(","):
        match = _BAGGAGE_MEMBER.fullmatch(part.strip(" \t"))
        if match is not None and len(found) < _MAX_BAGGAGE_MEMBERS:
            found[match[1]] = unquote(match[2], errors="replace")
    return found


__all__ = [
    "EMPTY",
    "CallerTraceState",
    "caller_in_traceparent",
    "parent_of",
    "parse_baggage",
    "with_baggage",
]
