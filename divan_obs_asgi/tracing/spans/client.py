"""Spans of calls of client libraries (SQL, Redis). Requires the extra `tracing`."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from random import getrandbits
from time import time_ns
from typing import Any, TypeAlias, TypeVar, cast

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
    get_current_span,
)

from divan_obs_asgi.clients.calls import CallSpan, Describe
from divan_obs_asgi.clients.description import Description, Descriptions
from divan_obs_asgi.clients.failures import status_code
from divan_obs_asgi.names import class_name
from divan_obs_asgi.tracing.global_provider import global_provider
from divan_obs_asgi.tracing.propagation import traceparent
from divan_obs_asgi.tracing.propagation.context import SPAN_KEY, current, is_suppressed
from divan_obs_asgi.tracing.sampling import TraceSampler
from divan_obs_asgi.tracing.spans.limits import LightLimits
from divan_obs_asgi.tracing.spans.recording import RecordingSpan, UnsampledSpan

_logger = logging.getLogger("divan_obs_asgi.tracing")
ERROR = Status(StatusCode.ERROR)
_SAMPLED = TraceFlags(traceparent.SAMPLED)
_SAMPLED_RANDOM = TraceFlags(traceparent.SAMPLED | traceparent.RANDOM)
S = TypeVar("S", bound="ClientSpan")
# Trace id, span id, trace state, and whether the trace id is random.
Ids: TypeAlias = tuple[int, int, TraceState | None, bool]
_SPAN_BITS = 64
_SPAN_MASK = (1 << _SPAN_BITS) - 1


class ClientSpans(ABC):
    """
    Starts the span of a call, where it is recorded.

    Args:
        descriptions: says what a call does, without any of its values.
    """

    def __init__(self, descriptions: Descriptions) -> None:
        self._descriptions = descriptions
        self._has_failed = False

    def start(
        self, describe: Describe, client: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> ClientSpan | TracerClientSpan | None:
        """Return the started span; None if the call is not recorded, or is part of another client call."""
        context = current()
        around = context.get(SPAN_KEY)
        if type(around) is UnsampledSpan:
            return None
        if len(context) > 1 and is_suppressed(context):
            return None
        if around is not None and getattr(around, "kind", None) is SpanKind.CLIENT:
            return None
        try:
            return self._start(context, describe, client, args, kwargs)
        except Exception as error:
            # A call never fails because its span does; a version of a library that is not known yet may lack something.
            if not self._has_failed:
                self._has_failed = True
                _logger.warning("Calls of %s have no spans: %s.", type(client).__module__, type(error).__name__)
            return None

    @abstractmethod
    def _start(
        self, context: Context, describe: Describe, client: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> ClientSpan | TracerClientSpan | None: ...


class ClientSpan(RecordingSpan):
    """
    A recorded call. Its context is created on demand: only the encoder reads it.

    Attributes:
        ids: the ids that its context is made of.
    """

    span_kind = SpanKind.CLIENT
    span_events = ()
    span_links = ()
    span_end_time = None
    span_status = Status(StatusCode.UNSET)

    def __init__(  # Does not call the base's, which sets more than a client span has.
        self,
        description: Description,
        ids: Ids,
        parent: SpanContext | None,
        spans: FastClientSpans,
    ) -> None:
        self.span_name, self.span_attributes = description
        self.ids = ids
        self.span_parent = parent
        self._spans = spans
        self.span_start_time = time_ns()

    @property
    def span_resource(self) -> Resource:  # type: ignore[override]
        return self._spans.resource

    @property
    def _limits(self) -> LightLimits:  # type: ignore[override]
        return self._spans.limits

    @property
    def span_scope(self) -> InstrumentationScope:  # type: ignore[override]
        return self._spans.scope

    @property
    def context(self) -> SpanContext:
        return self.get_span_context()

    def get_span_context(self) -> SpanContext:
        trace_id, span_id, state, random = self.ids
        return SpanContext(trace_id, span_id, False, _SAMPLED_RANDOM if random else _SAMPLED, state)

    @property
    def description(self) -> Description:
        """What the call does."""
        return Description(self.span_name, cast("dict[str, str | int]", self.span_attributes))

    def finish(self, error: BaseException | None) -> None:
        """End the span; `error` is what the call has raised."""
        if error is not None:
            found = self._spans.failure(error)
            # The attributes are shared with other spans.
            self.span_attributes = {**(self.span_attributes or {}), **found}
            if "error.type" in found:
                self.span_status = ERROR
        if self._limits.strict:
            self._bounded()
        self.span_end_time = time_ns()
        self._spans.end(self)


class InternalSpan(ClientSpan):
    """A recorded piece of this library's own work, such as an emit. It costs as little as a call."""

    span_kind = SpanKind.INTERNAL


class FastClientSpans(ClientSpans):
    """Spans that are passed directly to the processors of a provider that this library has built."""

    def __init__(
        self,
        descriptions: Descriptions,
        resource: Resource,
        scope: InstrumentationScope,
        processors: SpanProcessor,
        sampler: TraceSampler,
        limits: LightLimits,
    ) -> None:
        super().__init__(descriptions)
        self.limits = limits
        self.resource = resource
        self.scope = scope
        self.end: Callable[[Any], object] = processors.on_end
        self._begin: Any = processors.on_start
        self._sampler = sampler

    def failure(self, error: BaseException) -> dict[str, str]:
        return failure_of(error, self._descriptions.redact)

    def _start(
        self, context: Context, describe: Describe, client: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> ClientSpan | None:
        below = self._below(context.get(SPAN_KEY))
        description = None if below is None else describe(self._descriptions, client, args, kwargs)
        if below is None or description is None:
            return None
        return self._begun(ClientSpan(description, *below, self), context)

    def start_internal(self, description: Description) -> InternalSpan | None:
        """Return the started span of the library's own work below a recorded span of its own, else None."""
        context = current()
        around = context.get(SPAN_KEY)
        if not isinstance(around, RecordingSpan) or not around.is_recording() or is_suppressed(context):
            return None
        below = self._below(around)
        return None if below is None else self._begun(InternalSpan(description, *below, self), context)

    def _begun(self, span: S, context: Context) -> S:
        self._begin(span, context)
        return span

    def _below(self, around: Any) -> tuple[Ids, SpanContext | None] | None:
        """Return the ids of a new span, and its parent; None if it is not recorded."""
        parent: SpanContext | None = None if around is None else around.get_span_context()
        if parent is None or not parent.is_valid:
            chance = getrandbits(192)
            trace_id = chance >> _SPAN_BITS or 1
            if not self._sampler.samples(trace_id, None):
                return None
            return (trace_id, chance & _SPAN_MASK or 1, None, True), None
        trace_id, flags = parent.trace_id, parent.trace_flags
        if not (flags & traceparent.SAMPLED or parent.is_remote or around.is_recording()):
            return None
        if not self._sampler.samples(trace_id, flags.sampled):
            return None
        return (trace_id, getrandbits(64) or 1, parent.trace_state, bool(flags & traceparent.RANDOM)), parent


class GlobalClientSpans:
    """Forwards to the client spans of the provider that is current: a patch outlives a bundle."""

    def __init__(self) -> None:
        self._provider = global_provider()

    def start(
        self, describe: Describe, client: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> CallSpan | None:
        # First, because it decides for most requests.
        if type(current().get(SPAN_KEY)) is UnsampledSpan:
            return None
        spans = self._provider.current().client_spans
        return None if spans is None else spans.start(describe, client, args, kwargs)


class TracerClientSpan:
    """A span of the application's own provider."""

    def __init__(self, span: Span, description: Description, redact: Callable[[str], str]) -> None:
        self._span = span
        self.description = description
        self._redact = redact

    def finish(self, error: BaseException | None) -> None:
        """End the span; `error` is what the call has raised."""
        if error is not None and self._span.is_recording():
            found = failure_of(error, self._redact)
            self._span.set_attributes(found)
            if "error.type" in found:
                self._span.set_status(StatusCode.ERROR)
        self._span.end()


class TracerClientSpans(ClientSpans):
    """Spans of the application's own provider, made with the public tracer API."""

    def __init__(self, descriptions: Descriptions, tracer: Tracer) -> None:
        super().__init__(descriptions)
        self._tracer = tracer

    def _start(
        self, context: Context, describe: Describe, client: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> TracerClientSpan | None:
        around = get_current_span(context)
        known = around.get_span_context()
        if known.is_valid and not (known.is_remote or known.trace_flags.sampled or around.is_recording()):
            return None
        description = describe(self._descriptions, client, args, kwargs)
        if description is None:
            return None
        name, attributes = description
        span = self._tracer.start_span(name, context, SpanKind.CLIENT, attributes)
        return TracerClientSpan(span, description, self._descriptions.redact)


def failure_of(error: BaseException, redact: Callable[[str], str]) -> dict[str, str]:
    """Return the attributes of a failed call. The text of the error is not among them: it repeats values."""
    if not isinstance(error, Exception):
        # Nobody waits for the answer any more; what the database did is unknown.
        return {"divan.outcome": "cancelled"}
    found = {"error.type": redact(class_name(type(error)))}
    code = status_code(error)
    if code is not None:
        found["db.response.status_code"] = code
    return found


__all__ = [
    "ERROR",
    "ClientSpan",
    "ClientSpans",
    "FastClientSpans",
    "GlobalClientSpans",
    "InternalSpan",
    "TracerClientSpans",
]
