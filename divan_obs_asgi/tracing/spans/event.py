"""The span of a Socket.IO event. Requires the extra `tracing`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from random import getrandbits
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, TraceFlags

from divan_obs_asgi.connection.event import EventRecord
from divan_obs_asgi.connection.record import Record
from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.tracing.propagation.context import current, is_suppressed, make_current
from divan_obs_asgi.tracing.propagation.parents import EMPTY
from divan_obs_asgi.tracing.spans.attributes import Attributes, error_type
from divan_obs_asgi.tracing.spans.fast import SAMPLED_RANDOM, FastServerSpans
from divan_obs_asgi.tracing.spans.internal import record_error
from divan_obs_asgi.tracing.spans.recording import UnsampledSpan
from divan_obs_asgi.tracing.spans.server import SPAN_KEY, ServerSpans
from divan_obs_asgi.tracing.spans.tail_sampling import FAILED
from divan_obs_asgi.tracing.spans.tracer import TracerServerSpans

_USER_ID = "user_id"
# The sizes of a trace id and of a span id.
_TRACE_BITS, _SPAN_BITS = 128, 64
_SPAN_MASK = (1 << _SPAN_BITS) - 1


class EventSpans(ServerSpans):
    """
    One span for each event.

    Each event has its own trace, which links to the trace of the handshake. As children of the handshake's span, all
    events of a connection that lasts for hours would be in one trace.
    """

    _kind = SpanKind.CONSUMER
    _policy: RedactionPolicy
    _pseudonym: Callable[[str], str]

    def _set_policy(self, policy: RedactionPolicy) -> None:
        self._policy = policy
        # All events of a client share its sid. Hashing it for each event would cost more than the other attributes.
        self._pseudonym = lru_cache(maxsize=4096)(policy.pseudonym)

    def begin(self, record: EventRecord) -> Context:
        """Start the span of `record`, fill its ids and make it current; return the context to pass to `leave`."""
        before = current()
        if is_suppressed(before):
            return before
        span = record.span = self._start_span(record)
        make_current(Context({SPAN_KEY: span}))
        return before

    def _start_span(self, record: EventRecord) -> Span:
        return self._new_span({}, record, None, EMPTY)

    @staticmethod
    def resume(record: EventRecord) -> Context:
        """Make the span of `record` current again; return the context to pass to `leave`."""
        before = current()
        make_current(Context({SPAN_KEY: record.span}))
        return before

    leave = staticmethod(make_current)

    def finish(self, record: Record) -> None:
        """End the span of the finished record."""
        if record.span is None:
            return  # Suppressed.
        if record.sampled:
            if isinstance(record.error, Exception):
                record_error(record.span, record.error, self._policy, record.hidden)
            self._close(record.span, record)
        elif self.finishes_unsampled:
            self._close(record.span, record)

    def _at_start(self, scope: Mapping[str, Any], record: Record) -> Attributes:
        """Return the attributes of the semantic conventions ("Messaging spans"), and our own `socketio.*`."""
        assert isinstance(record, EventRecord)
        return {
            "messaging.system": "socketio",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": record.namespace,
            "socketio.namespace": record.namespace,
            "socketio.event": record.event,
            "socketio.sid": self._pseudonym(record.sid),
        }

    def _at_end(self, record: Record) -> Attributes:
        attributes: Attributes = {"divan.outcome": record.outcome or "", "divan.request_id": record.request_id}
        if record.operation:
            attributes["divan.operation"] = record.operation
        if record.outcome in FAILED:
            attributes["error.type"] = error_type(record, self._policy.redact_text)
        if record.fields and _USER_ID in record.fields:
            user_id = self._policy.redact_field(_USER_ID, record.fields[_USER_ID])
            if isinstance(user_id, (str, int)) and not str(user_id).startswith("[redacted"):
                attributes["user.id"] = str(user_id)
        return attributes

    def _links(self, record: Record) -> tuple[Link, ...]:
        assert isinstance(record, EventRecord)
        handshake = record.handshake()
        if handshake is None or not handshake.trace_id:
            return ()
        flags = TraceFlags(handshake.trace_flags)
        return (Link(SpanContext(int(handshake.trace_id, 16), int(handshake.span_id, 16), False, flags)),)

    def _name(self, record: Record) -> str:
        """Return the operation, the destination and the event (semantic conventions, "Messaging spans")."""
        return f"process {record.route}"


class FastEventSpans(EventSpans, FastServerSpans):
    """Event spans of a provider that this library has built."""

    def __init__(self, spans: FastServerSpans, policy: RedactionPolicy) -> None:
        super().__init__(spans._settings, spans._sdk, spans._processor, spans._sampler, spans._queues)
        self._set_policy(policy)

    def _start_span(self, record: EventRecord) -> Span:
        """Return a started span. Unlike for requests, the ids of an unsampled event are formatted only when needed."""
        chance = getrandbits(_TRACE_BITS + _SPAN_BITS)
        trace_id, span_id = chance >> _SPAN_BITS or 1, chance & _SPAN_MASK or 1
        record.ids = trace_id, span_id
        record.sampled = sampled = self._sampler.samples(trace_id, None)
        if not sampled:
            return UnsampledSpan(trace_id, span_id, None, True)
        identity = SpanContext(trace_id, span_id, False, SAMPLED_RANDOM)
        span = self._recording(identity, None, record, self._at_start({}, record))
        self._processor.on_start(span, EMPTY)  # type: ignore[arg-type]
        return span


class TracerEventSpans(EventSpans, TracerServerSpans):
    """Event spans of the application's own provider."""

    def __init__(self, spans: TracerServerSpans, policy: RedactionPolicy) -> None:
        super().__init__(spans._settings, spans.provider)
        self._set_policy(policy)

    def _adopt_framework_spans(self) -> None:
        """Do nothing: no framework makes spans for events."""


def event_spans(spans: ServerSpans, policy: RedactionPolicy) -> EventSpans:
    """Return what makes the spans of events, through the provider of the server spans."""
    if isinstance(spans, FastServerSpans):
        return FastEventSpans(spans, policy)
    if isinstance(spans, TracerServerSpans):
        return TracerEventSpans(spans, policy)
    raise TypeError(f"event_spans got {type(spans).__name__}; expected FastServerSpans or TracerServerSpans.")


__all__ = ["EventSpans", "event_spans"]
