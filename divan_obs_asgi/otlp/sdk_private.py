"""
All that this library uses of OpenTelemetry's private names. Requires the extra `tracing`.

tests/tracing/test_sdk_private.py checks that no other file uses any, and names what has changed in a new version.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from opentelemetry.context import _SUPPRESS_HTTP_INSTRUMENTATION_KEY, _SUPPRESS_INSTRUMENTATION_KEY
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, TraceState
from opentelemetry.util.types import Attributes

# The keys of a context in which instrumentations make no spans. They are those that `suppress_instrumentation` of
# opentelemetry-instrumentation sets: the current key, and the plain name that older versions use. The function itself
# is in a package that the extra `tracing` does not install.
SUPPRESSED = (_SUPPRESS_INSTRUMENTATION_KEY, "suppress_instrumentation")
HTTP_SUPPRESSED = _SUPPRESS_HTTP_INSTRUMENTATION_KEY

# The attribute of the SDK's provider that holds its processors; `add_span_processor` adds to it.
_PROCESSORS = "_active_span_processor"


def processors_of(provider: object) -> Any:
    """Return the processor that contains all processors of a provider; None if this version has no such thing."""
    return getattr(provider, _PROCESSORS, None)


def set_processors(provider: object, processors: object) -> None:
    """Replace the processor that contains all processors of a provider."""
    setattr(provider, _PROCESSORS, processors)


class SpanFields(ReadableSpan):
    """
    A span of the SDK whose fields are attributes of ours: `span_name`, `span_attributes` and so on.

    The methods of `ReadableSpan` find them under their private names. Its constructor is not called: it creates every
    collection.
    """

    span_name: str
    span_context: SpanContext | None
    span_parent: SpanContext | None
    span_kind: SpanKind
    span_resource: Resource
    span_scope: InstrumentationScope | None
    span_start_time: int | None
    span_end_time: int | None
    span_attributes: Attributes
    span_events: Sequence[Event]
    span_links: Sequence[Link]
    span_status: Status

    _name = property(attrgetter("span_name"))
    _context = property(attrgetter("span_context"))
    _parent = property(attrgetter("span_parent"))
    _kind = property(attrgetter("span_kind"))
    _resource = property(attrgetter("span_resource"))
    _instrumentation_scope = property(attrgetter("span_scope"))
    _start_time = property(attrgetter("span_start_time"))
    _end_time = property(attrgetter("span_end_time"))
    _attributes = property(attrgetter("span_attributes"))
    _events = property(attrgetter("span_events"))
    _links = property(attrgetter("span_links"))
    _status = property(attrgetter("span_status"))
    # The name of the scope in versions of the specification before 1.11.
    _instrumentation_info = None


class StateMembers(TraceState):
    """A `tracestate` whose members have been validated; the constructor of the SDK would drop those of level 2."""

    def __init__(self, members: dict[str, str]) -> None:
        self._dict = members


__all__ = ["HTTP_SUPPRESSED", "SUPPRESSED", "SpanFields", "StateMembers", "processors_of", "set_processors"]
