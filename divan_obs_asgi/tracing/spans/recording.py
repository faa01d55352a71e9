"""A recording span that costs a third of the SDK's, and an unsampled span. Requires the extra `tracing`."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from time import time_ns
from types import MappingProxyType
from typing import Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)
from opentelemetry.util.types import Attributes, AttributeValue

from divan_obs_asgi.otlp.sdk_private import SpanFields
from divan_obs_asgi.tracing.propagation import traceparent
from divan_obs_asgi.tracing.spans.limits import LightLimits, default_limits

_logger = logging.getLogger("divan_obs_asgi.tracing")
_UNSET = Status(StatusCode.UNSET)
_NOT_SAMPLED = TraceFlags(TraceFlags.DEFAULT)
_ONLY_RANDOM = TraceFlags(traceparent.RANDOM)


class RecordingSpan(SpanFields, Span):
    """
    Behaves like the SDK's span, but has no lock and creates each collection on first use.

    Attributes of this library are known to be valid and are stored directly, unless OTEL_*_LIMIT might exclude some of
    them. Attributes of other code go through the SDK's `BoundedAttributes`, which applies its limits and validation.
    """

    def __init__(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        resource: Resource,
        scope: InstrumentationScope,
        start_time: int,
        attributes: dict[str, AttributeValue] | None = None,
        links: tuple[Link, ...] = (),
        limits: LightLimits | None = None,
    ) -> None:
        self._limits = limits or default_limits()
        self.span_name = name
        self.span_context = context
        self.span_parent = parent
        self.span_kind = kind
        self.span_resource = resource
        self.span_scope = scope
        self.span_start_time = start_time
        self.span_end_time = None
        self.span_attributes = attributes
        self.span_events = ()
        self.span_links = links
        self.span_status = _UNSET
        if self._limits.strict:
            self.span_links = links[: self._limits.max_links]
            self._bounded()

    def get_span_context(self) -> SpanContext:
        context = self.span_context
        assert context is not None
        return context

    def is_recording(self) -> bool:
        return self.span_end_time is None

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        if self._writable():
            self._bounded()[key] = value

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        if not self._writable():
            return
        if not isinstance(self.span_events, BoundedList):
            self.span_events = BoundedList(self._limits.max_events)
        bounded = BoundedAttributes(
            self._limits.max_event_attributes,
            attributes,
            immutable=True,
            max_value_len=self._limits.max_attribute_length,
        )
        self.span_events.append(Event(name, bounded, timestamp if timestamp is not None else time_ns()))

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        if not self._writable() or not context.is_valid:
            return
        if not isinstance(self.span_links, BoundedList):
            links: BoundedList[Link] = BoundedList(self._limits.max_links)
            links.extend(self.span_links)
            self.span_links = links
        bounded = BoundedAttributes(
            self._limits.max_link_attributes,
            attributes,
            immutable=True,
            max_value_len=self._limits.max_attribute_length,
        )
        self.span_links.append(Link(context, bounded))

    def update_name(self, name: str) -> None:
        if self._writable():
            self.span_name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        new = Status(status, description) if isinstance(status, StatusCode) else status
        # Tracing API, "Set Status": Ok is final, and Unset changes nothing.
        final = self.span_status.status_code is StatusCode.OK or new.status_code is StatusCode.UNSET
        if self._writable() and not final:
            self.span_status = new

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        described: dict[str, AttributeValue] = {
            "exception.type": _full_name(type(exception)),
            "exception.message": str(exception),
            "exception.stacktrace": "".join(traceback.format_exception(exception)),
            "exception.escaped": str(escaped),
        }
        self.add_event("exception", {**described, **(attributes or {})}, timestamp)

    def end(self, end_time: int | None = None) -> None:
        """Do nothing: the span ends with the record of its connection, not in a handler."""

    def close(self, name: str, attributes: dict[str, AttributeValue], status: Status | None, end_time: int) -> None:
        """End the span; the values of the record override values that other code has set."""
        self.span_name = name
        own = self.span_attributes
        if own is None:
            self.span_attributes = attributes
        else:
            # A plain dict has our attributes only; a BoundedAttributes also has those of a handler.
            own.update(attributes)  # type: ignore[attr-defined]
        if status is not None:
            self.span_status = status
        self.span_end_time = end_time

    @property
    def has_only_own_data(self) -> bool:
        """Whether all attributes, events, links and the status were set by this library."""
        return (
            type(self.span_attributes) is dict
            and not self.span_events
            and type(self.span_links) is tuple
            and self.span_status.description is None
        )

    @property
    def plain_attributes(self) -> dict[str, AttributeValue]:
        """The attributes, if `has_only_own_data`."""
        assert type(self.span_attributes) is dict
        return self.span_attributes

    def _writable(self) -> bool:
        if self.span_end_time is None:
            return True
        _logger.warning("A span was changed after its request had ended; the change is dropped.")
        return False

    def _bounded(self) -> BoundedAttributes:
        if not isinstance(self.span_attributes, BoundedAttributes):
            self.span_attributes = BoundedAttributes(
                self._limits.max_span_attributes,
                self.span_attributes,
                immutable=False,
                max_value_len=self._limits.max_span_attribute_length,
            )
        return self.span_attributes


def _full_name(kind: type[BaseException]) -> str:
    """Return the qualified name of an exception, as the SDK does; redaction needs the module."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


class UnsampledSpan(NonRecordingSpan):
    """
    A span that is not recorded. Its context is created on demand, for a child span or an outgoing request.

    Attributes:
        ids: trace id, span id, trace state, and whether the trace id is random.
        parent: the caller's span.
        scope_at_start: the values for the start attributes, in case tail sampling keeps the span.
    """

    parent: SpanContext | None = None
    scope_at_start: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, trace_id: int, span_id: int, state: TraceState | None, random: bool) -> None:
        self.ids = trace_id, span_id, state, random

    def get_span_context(self) -> SpanContext:
        trace_id, span_id, state, random = self.ids
        return SpanContext(trace_id, span_id, False, _ONLY_RANDOM if random else _NOT_SAMPLED, state)


__all__ = ["RecordingSpan", "UnsampledSpan"]
