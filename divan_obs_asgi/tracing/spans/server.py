"""The life of a server span, from the start of a connection to its end. Requires the extra `tracing`."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, TypeAlias

from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    format_span_id,
    format_trace_id,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace import TracerProvider as AnyTracerProvider

from divan_obs_asgi.clients.calls import CallSpans
from divan_obs_asgi.clients.description import Description, Descriptions
from divan_obs_asgi.connection.record import Record
from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.settings import Settings
from divan_obs_asgi.settings.otel_parsers import propagator_names
from divan_obs_asgi.tracing.clients import ClientInstrumentation
from divan_obs_asgi.tracing.frameworks import awaiting_span
from divan_obs_asgi.tracing.global_provider import OwnTracerProvider
from divan_obs_asgi.tracing.propagation import traceparent
from divan_obs_asgi.tracing.propagation.context import SPAN_KEY, current, make_current
from divan_obs_asgi.tracing.propagation.parents import EMPTY, parent_of
from divan_obs_asgi.tracing.propagation.propagators import Propagation
from divan_obs_asgi.tracing.spans.attributes import SpanContent
from divan_obs_asgi.tracing.spans.client import ERROR, GlobalClientSpans, InternalSpan, TracerClientSpans
from divan_obs_asgi.tracing.spans.internal import record_error
from divan_obs_asgi.tracing.spans.limits import span_limits
from divan_obs_asgi.types import Scope
from divan_obs_asgi.version import __version__

NAME = "divan_obs_asgi"
# The component under which failures of tracing are counted.
COMPONENT = "tracing"
TEST_SPAN = "divan.trace_test"

TestOutcome: TypeAlias = Literal["exported", "refused", "timeout"]

_clear_context = partial(make_current, EMPTY)


class ServerSpans(SpanContent, ABC):
    """
    Starts and ends server spans through one provider.

    Attributes:
        propagation: the formats of trace headers.
        clients: the instrumentation of client libraries; `init` and `wrap` apply it.
        finishes_unsampled: whether `finish` must also be called for unsampled spans.
        start_internal: starts light spans of the library's own work; None for a provider of the application.
    """

    finishes_unsampled = True
    start_internal: Callable[[Description], InternalSpan | None] | None = None

    def __init__(self, settings: Settings, provider: AnyTracerProvider) -> None:
        super().__init__(settings)
        self.provider = provider
        self._settings = settings
        self._descriptions = Descriptions(
            self._redacted,
            old_names="database/dup" in settings.tracing.semconv_opt_in,
            max_length=span_limits(settings).max_span_attribute_length,
        )
        # A provider of this library makes them itself, and the next one replaces it.
        spans: CallSpans = (
            GlobalClientSpans()
            if isinstance(provider, OwnTracerProvider)
            else TracerClientSpans(self._descriptions, provider.get_tracer(NAME, __version__))
        )
        self.propagation = Propagation(settings.otel.propagators)
        self._reads_w3c = self.propagation.is_default
        self.clients = ClientInstrumentation(
            [name for name in settings.tracing.clients if name not in settings.otel.disabled_instrumentations],
            provider,
            settings.requests.id_response_header,
            spans=spans if settings.tracing.client_spans == "own" else None,
            propagator=None
            if propagator_names(os.environ.get("OTEL_PROPAGATORS", "")) == settings.otel.propagators
            # From a file of flags or from code.
            else self.propagation.textmap,
            conventions=settings.tracing.semconv_opt_in,
        )
        self._headers = settings.tracing.response_headers
        self._only_traceparent = self._headers == ("traceparent",)

    def use_propagation(self, propagation: Propagation) -> None:
        """Read these formats instead of those of OTEL_PROPAGATORS; called before the first connection."""
        self.propagation = propagation
        self._reads_w3c = propagation.is_default

    def start(self, scope: Scope, record: RequestRecord, around: Span | None = None) -> Callable[[], object]:
        """
        Start the span of `record`, fill the ids, make the span current, and end it together with the record.

        Args:
            around: the span of a framework around our middleware, which has already read the caller's headers.

        Returns:
            a function that restores the previous context.
        """
        before = current()
        parent: SpanContext | None = None
        context = EMPTY
        if around is not None:
            parent, context = around.get_span_context(), before
        else:
            # The inherited context belongs to another request, unless that request is the caller in this process.
            called = record.caller is not None
            present = record.request_headers
            if not self._reads_w3c:
                parent, context = self.propagation.parent_of(scope, present, before if called else EMPTY)
            elif called or b"traceparent" in present or b"baggage" in present:
                parent, context = parent_of(scope, present, before if called else EMPTY)
        record.span = span = self._new_span(scope, record, parent, context)
        self.set_response_headers(record)
        if record.sampled or self.finishes_unsampled:
            record.add_finisher(COMPONENT, self.finish)
        make_current(Context({**context, SPAN_KEY: span}) if context else Context({SPAN_KEY: span}))
        # Does not use a token: a coroutine may be closed in another task than the one that started it.
        return partial(make_current, before) if before else _clear_context

    def adopt(self, record: RequestRecord, span: Span) -> None:
        """Use the span of a framework as the span of `record`."""
        record.span = span
        set_ids(record, span.get_span_context())
        if span.is_recording():
            span.set_attribute("divan.request_id", record.request_id)
        self.set_response_headers(record)

    def defer(self, scope: Scope, record: RequestRecord) -> Callable[[], object]:
        """Let `record` adopt the span that a framework inside our middleware is about to start."""
        before = current()
        make_current(self.framework_context(scope, record, before))
        awaiting_span.set(record)

        def undo() -> None:
            awaiting_span.set(None)
            make_current(before)

        return undo

    def framework_context(self, scope: Scope, record: RequestRecord, context: Context) -> Context:
        """
        Return the context in which a framework starts its server span.

        It has no current span, because the framework would use it as the parent. The span of a caller in the same
        process is written to the headers instead, unless they already name a parent.
        """
        if record.caller is None:
            # The current context has leaked from another request.
            return EMPTY
        caller = get_current_span(context).get_span_context()
        if caller.is_valid and not self.propagation.names_a_parent(scope, record.request_headers):
            scope["headers"] = self.propagation.headers_with(caller, scope["headers"])
        return Context({key: value for key, value in context.items() if key != SPAN_KEY})

    def set_response_headers(self, record: RequestRecord) -> None:
        """Set the response headers with the ids of the span, if it has any."""
        if not record.trace_id:
            return
        value = traceparent.render(record.trace_id, record.span_id, record.trace_flags)
        if self._only_traceparent:
            record.set_header(b"traceparent", value)
            return
        for header in self._headers:
            if header == "server-timing":
                # This header is a list, to which the application may add its own entries.
                record.append_header(b"server-timing", b'traceparent;desc="' + value + b'"')
            else:
                record.set_header(header.encode(), value)

    def finish(self, record: Record) -> None:
        """End the span of the finished record."""
        self._close(record.span, record)

    def failed_after_end(self, record: RequestRecord, error: Exception) -> None:
        """Record an exception that was raised after the span had ended, in a new span that links to it."""
        if not record.sampled:
            return
        ended = record.span.get_span_context()
        tracer = self.provider.get_tracer(NAME, __version__)
        span = tracer.start_span(
            f"{self._name(record)} after the response",
            set_span_in_context(NonRecordingSpan(ended), EMPTY),
            attributes={"http.route": record.route, "divan.request_id": record.request_id},
            links=[Link(ended)],
            record_exception=False,
            set_status_on_exception=False,
        )
        record_error(span, error, self._policy)
        span.end()

    def flush(self, timeout_ms: int) -> None:
        """Export the queued spans; blocks for at most `timeout_ms`."""
        flush: Any = getattr(self.provider, "force_flush", None)
        if flush is not None:
            flush(timeout_ms)

    def prepare(self) -> None:
        """Import what the export needs, before the first request; does nothing for the application's own provider."""

    def pause(self) -> None:
        """End the export thread until the next span; does nothing for the application's own provider."""

    @property
    @abstractmethod
    def exports(self) -> bool:
        """Whether spans are exported."""

    @property
    def queued(self) -> int | None:
        """The number of spans that wait for their export; None if unknown, as for the application's own provider."""
        return None

    @property
    def export_fails(self) -> bool | None:
        """Whether the last export failed; None if unknown, as for the application's own provider."""
        return None

    @abstractmethod
    def send_test_span(self, timeout_s: float) -> tuple[str, TestOutcome]:
        """Export a test span; return its trace id and the outcome."""

    @abstractmethod
    def _new_span(self, scope: Scope, record: Record, parent: SpanContext | None, context: Context) -> Span:
        """Return a started span; fill the ids and `sampled` of the record."""

    @abstractmethod
    def _close(self, span: Any, record: Record) -> None: ...


def set_ids(record: Record, identity: SpanContext) -> None:
    """Copy the ids of the span to `record`."""
    if not identity.is_valid:
        return  # Of the no-op tracer, without a caller.
    record.trace_id = format_trace_id(identity.trace_id)
    record.span_id = format_span_id(identity.span_id)
    record.sampled = identity.trace_flags.sampled
    record.random_trace = bool(identity.trace_flags & traceparent.RANDOM)


__all__ = ["COMPONENT", "ERROR", "NAME", "SPAN_KEY", "TEST_SPAN", "ServerSpans", "TestOutcome", "set_ids"]
