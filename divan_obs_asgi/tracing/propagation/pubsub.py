"""Trace context in messages and rewritten headers. Requires the extra `tracing`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    format_span_id,
    format_trace_id,
    get_current_span,
    set_span_in_context,
)

from divan_obs_asgi.tracing.propagation import traceparent
from divan_obs_asgi.tracing.propagation.context import current, make_current
from divan_obs_asgi.tracing.propagation.parents import EMPTY
from divan_obs_asgi.types import RawHeaders


def current_traceparent() -> str:
    """Return the `traceparent` of the current span, or an empty string without one."""
    ids = get_current_span().get_span_context()
    if not ids.is_valid:
        return ""
    return traceparent.render(format_trace_id(ids.trace_id), format_span_id(ids.span_id), ids.trace_flags).decode()


def headers_with_caller(caller: SpanContext, headers: RawHeaders) -> RawHeaders:
    """Return the request headers with `caller` as the parent span."""
    changed = [pair for pair in headers if pair[0] not in (b"traceparent", b"tracestate")]
    ids = format_trace_id(caller.trace_id), format_span_id(caller.span_id)
    changed.append((b"traceparent", traceparent.render(*ids, caller.trace_flags)))
    if caller.trace_state:
        changed.append((b"tracestate", caller.trace_state.to_header().encode("ascii")))
    return changed


@contextmanager
def use_traceparent(value: object) -> Iterator[None]:
    """
    Make the span of a `traceparent` the current one for the block.

    If `value` is invalid, there is no current span. The context from outside the block is not inherited.
    """
    given = traceparent.parse([value.encode()]) if isinstance(value, str) and value.isascii() else None
    context = EMPTY
    if given is not None:
        ids = SpanContext(int(given.trace_id, 16), int(given.span_id, 16), True, TraceFlags(given.flags))
        context = set_span_in_context(NonRecordingSpan(ids), EMPTY)
    before = current()
    make_current(context)
    try:
        yield
    finally:
        make_current(before)


__all__ = ["current_traceparent", "headers_with_caller", "use_traceparent"]
