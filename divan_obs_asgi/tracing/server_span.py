"""The server span of a connection. Imported only where tracing is on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import TimeoutError as NotInTime
from functools import lru_cache, partial
from ipaddress import ip_address, ip_network
from random import getrandbits
from time import time_ns
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from opentelemetry import context as otel_context
from opentelemetry.baggage import set_baggage
from opentelemetry.context import Context
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
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
    format_span_id,
    format_trace_id,
    set_span_in_context,
)
from opentelemetry.trace import TracerProvider as AnyTracerProvider
from opentelemetry.util.types import AttributeValue

from divan_obs_asgi import headers
from divan_obs_asgi.record import OTHER_METHOD, RequestRecord
from divan_obs_asgi.routes import UNMATCHED
from divan_obs_asgi.settings import Settings
from divan_obs_asgi.tracing import baggage, traceparent, tracestate
from divan_obs_asgi.tracing.clients import Clients
from divan_obs_asgi.tracing.deferring import AdoptingProcessor, waiting
from divan_obs_asgi.tracing.exporting import ExportQueue
from divan_obs_asgi.tracing.keep import FAILED, Reason, TailKeep
from divan_obs_asgi.tracing.sampling import TraceSampler
from divan_obs_asgi.tracing.span import RecordingSpan, UnsampledSpan
from divan_obs_asgi.types import Scope
from divan_obs_asgi.version import __version__

if TYPE_CHECKING:
    from divan_obs_asgi.redaction import RedactionPolicy
    from divan_obs_asgi.tracing.event_span import EventSpans

NAME = "divan_obs_asgi"
# Under which the failures of all this are counted.
COMPONENT = "tracing"

Attributes: TypeAlias = dict[str, AttributeValue]
Answer: TypeAlias = Literal["exported", "refused", "timeout"]

EMPTY = Context()
# Where OpenTelemetry keeps the current span; found out by its public functions, and used to make a context in one step.
SPAN_KEY = next(iter(set_span_in_context(NonRecordingSpan(SpanContext(1, 1, False)), EMPTY)))
attach_nothing = partial(otel_context.attach, EMPTY)
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_ERROR = Status(StatusCode.ERROR)
_SPAN_BITS = 64
_SPAN_MASK = (1 << _SPAN_BITS) - 1
# What a client or a proxy may write into these is not ours to repeat.
_SCHEMES = frozenset({"http", "https", "ws", "wss"})
_VERSIONS = frozenset({"1.0", "1.1", "2", "3"})
# The stable names of the HTTP semantic conventions, and what they were called before.
_OLD_NAMES = {
    "http.request.method": "http.method",
    "http.response.status_code": "http.status_code",
    "url.scheme": "http.scheme",
    "url.path": "http.target",
    "network.protocol.version": "http.flavor",
    "client.address": "http.client_ip",
}


class ServerSpans(ABC):
    """
    Starts and ends server spans through one provider.

    Attributes:
        clients: the client libraries that are traced through it; `init` and `wrap` instrument them.
        finishes_unsampled: whether `finish` has anything to do for a span that is not sampled.
    """

    finishes_unsampled = True
    _kind = SpanKind.SERVER

    def __init__(self, settings: Settings, provider: AnyTracerProvider) -> None:
        self.provider = provider
        self._settings = settings
        self.clients = Clients(settings.tracing_clients, provider)
        self._old_names = "http/dup" in settings.semconv_opt_in
        self._address = _ADDRESSES[settings.tracing_client_address]
        self._headers = settings.tracing_response_headers
        self._only_traceparent = self._headers == ("traceparent",)

    def start(self, scope: Scope, record: RequestRecord, around: Span | None = None) -> Callable[[], object]:
        """
        Start the span of `record`, fill its ids, make it OpenTelemetry's current one, and have it end with the record.

        Args:
            around: the span of a framework that stands outside of us; the caller's headers are its business.

        Returns:
            what makes the span that was current before current again.
        """
        before = otel_context.get_current()
        parent: SpanContext | None = None
        context = EMPTY
        if around is not None:
            parent, context = around.get_span_context(), before
        else:
            # What this task has inherited belongs to another request: its own headers into an empty context.
            present = record.request_headers
            if b"traceparent" in present or b"baggage" in present:
                parent, context = _parent_of(scope, present)
        record.span = span = self._new_span(scope, record, parent, context)
        self.tell(record)
        if record.sampled or self.finishes_unsampled:
            record.add_finisher(COMPONENT, self.finish)
        otel_context.attach(Context({**context, SPAN_KEY: span}))
        # Not by a token: a coroutine may be closed in another task than it was started in.
        return partial(otel_context.attach, before) if before else attach_nothing

    def adopt(self, record: RequestRecord, span: Span) -> None:
        """Have `record` carry the ids of a framework's span in place of one of ours."""
        record.span = span
        _fill(record, span.get_span_context())
        if span.is_recording():
            span.set_attribute("divan.request_id", record.request_id)
        self.tell(record)

    def defer(self, scope: Scope, record: RequestRecord) -> Callable[[], object]:
        """Wait for the span of a framework that stands inside of us, which `record` will adopt."""
        before = otel_context.get_current()
        # Otherwise the framework would take a span that has leaked from another request for its parent (PITFALLS P3).
        otel_context.attach(EMPTY)
        waiting.set(record)

        def undo() -> None:
            waiting.set(None)
            otel_context.attach(before)

        return undo

    def tell(self, record: RequestRecord) -> None:
        """Set the response headers that name the span."""
        value = traceparent.render(record.trace_id, record.span_id, record.sampled is True)
        if self._only_traceparent:
            record.set_header(b"traceparent", value)
            return
        for header in self._headers:
            if header == "server-timing":
                # A list, in which an application may have members of its own.
                record.append_header(b"server-timing", b'traceparent;desc="' + value + b'"')
            else:
                record.set_header(header.encode(), value)

    def finish(self, record: RequestRecord) -> None:
        """End the span of the finished record."""
        self._close(record.span, record)

    @abstractmethod
    def of_events(self, policy: RedactionPolicy) -> EventSpans:
        """Return what makes the spans of Socket.IO events through the same provider."""

    def flush(self, timeout_ms: int) -> None:
        """Hand queued spans to the exporter; blocks for `timeout_ms` at most."""
        flush: Any = getattr(self.provider, "force_flush", None)
        if flush is not None:
            flush(timeout_ms)

    @property
    @abstractmethod
    def exports(self) -> bool:
        """Whether spans go anywhere."""

    @abstractmethod
    def send_test_span(self, timeout_s: float) -> tuple[str, Answer]:
        """Emit a span, wait for its export, and return its trace id and how that went."""

    @abstractmethod
    def _new_span(self, scope: Scope, record: RequestRecord, parent: SpanContext | None, context: Context) -> Span:
        """Return a started span, and fill the record's ids and `sampled` from it."""

    @abstractmethod
    def _close(self, span: Any, record: RequestRecord) -> None: ...

    def _at_start(self, scope: Scope, record: RequestRecord) -> Attributes:
        """What samplers and processors may want to see at the start (HTTP semantic conventions, "Server")."""
        attributes: Attributes = {"http.request.method": record.method}
        scheme = scope.get("scheme")
        if scheme in _SCHEMES:
            attributes["url.scheme"] = scheme
        version = scope.get("http_version")
        if version in _VERSIONS:
            attributes["network.protocol.version"] = version
        if self._address is not None:
            client = scope.get("client")
            address = self._address(client[0]) if client else None
            if address is not None:
                attributes["client.address"] = address
        return attributes

    def _at_end(self, record: RequestRecord) -> Attributes:
        route = record.route
        attributes: Attributes = {
            "http.route": route,
            "divan.outcome": record.outcome or "",
            "divan.request_id": record.request_id,
        }
        if route != UNMATCHED:
            # The template and never the path, in which there may be names, addresses and tokens.
            attributes["url.path"] = route
        if record.status:
            attributes["http.response.status_code"] = record.status
        if record.kind == "websocket":
            attributes["websocket.messages_received"] = record.messages_received
            attributes["websocket.messages_sent"] = record.messages_sent
            if record.close_code is not None:
                attributes["websocket.close_code"] = record.close_code
        if record.outcome in FAILED:
            attributes["error.type"] = error_type(record)
        return attributes

    def _links(self, record: RequestRecord) -> tuple[Link, ...]:
        return ()

    def _name(self, record: RequestRecord) -> str:
        """HTTP semantic conventions, "Name": the method and the template; `HTTP` in place of a method nobody knows."""
        return f"{'HTTP' if record.method == OTHER_METHOD else record.method} {record.route}"

    def _add_old_names(self, known: Mapping[str, AttributeValue], attributes: Attributes) -> None:
        for new, old in _OLD_NAMES.items():
            value = attributes.get(new, known.get(new))
            if value is not None:
                attributes[old] = value


class FastServerSpans(ServerSpans):
    """
    Server spans of our own, handed to the processors of a provider that was built here.

    Args:
        processors: those of `provider`.
        queue: where its spans go, if anywhere.
    """

    def __init__(
        self,
        settings: Settings,
        provider: TracerProvider,
        processors: SpanProcessor,
        sampler: TraceSampler,
        queue: ExportQueue | None,
    ) -> None:
        super().__init__(settings, provider)
        self._sdk = provider
        self._processor = processors
        self._sampler = sampler
        self._queue = queue
        self._scope = InstrumentationScope(NAME, __version__)
        self._keep = (
            TailKeep(settings.tracing_keep_slow_s, settings.tracing_keep_budget)
            if settings.tracing_keep_errors
            else None
        )
        self.finishes_unsampled = self._keep is not None

    @property
    def exports(self) -> bool:
        return self._queue is not None

    def of_events(self, policy: RedactionPolicy) -> EventSpans:
        from divan_obs_asgi.tracing.event_span import FastEventSpans

        return FastEventSpans(self._settings, policy, self._sdk, self._processor, self._sampler, self._queue)

    def send_test_span(self, timeout_s: float) -> tuple[str, Answer]:
        assert self._queue is not None
        ids = self._sdk.id_generator
        trace_id = ids.generate_trace_id()
        identity = SpanContext(trace_id, ids.generate_span_id(), False, _SAMPLED)
        # Recorded whatever the sampler says.
        span = RecordingSpan(
            TEST_SPAN, identity, None, SpanKind.INTERNAL, self._sdk.resource, self._scope, time_ns(), {}
        )
        span.close(TEST_SPAN, {}, None, time_ns())
        outcome = self._queue.submit(span)
        try:
            return format_trace_id(trace_id), outcome.result(timeout_s)
        except NotInTime:
            return format_trace_id(trace_id), "timeout"

    def _new_span(self, scope: Scope, record: RequestRecord, parent: SpanContext | None, context: Context) -> Span:
        # As the SDK's RandomIdGenerator makes them, in one go; what is invalid by chance, once in 10^19, is made valid.
        chance = getrandbits(192)
        span_id = chance & _SPAN_MASK or 1
        if parent is None:
            trace_id = chance >> _SPAN_BITS or 1
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
            unsampled = UnsampledSpan(trace_id, span_id, state)
            if self._keep is not None:
                unsampled.parent, unsampled.attributes = parent, self._at_start(scope, record)
            return unsampled
        identity = SpanContext(trace_id, span_id, False, _SAMPLED, state)
        span = self._recording(identity, parent, record, self._at_start(scope, record))
        self._processor.on_start(span, context)  # type: ignore[arg-type]
        return span

    def _recording(
        self, identity: SpanContext, parent: SpanContext | None, record: RequestRecord, attributes: Attributes
    ) -> RecordingSpan:
        return RecordingSpan(
            record.method,
            identity,
            parent,
            self._kind,
            self._sdk.resource,
            self._scope,
            record.started_ns,
            attributes,
            self._links(record),
        )

    def _close(self, span: Any, record: RequestRecord) -> None:
        attributes = self._at_end(record)
        if isinstance(span, UnsampledSpan):
            reason = self._keep.reason(record) if self._keep is not None else None
            if reason is None:
                return
            span = self._kept(span, record, reason)
        if self._old_names:
            self._add_old_names(span.attributes or {}, attributes)
        status = _ERROR if record.outcome in FAILED else None
        span.close(self._name(record), attributes, status, record.started_ns + int(record.duration_s * 1e9))
        self._processor.on_end(span)

    def _kept(self, unsampled: UnsampledSpan, record: RequestRecord, reason: Reason) -> RecordingSpan:
        trace_id, span_id, state = unsampled.ids
        identity = SpanContext(trace_id, span_id, False, _SAMPLED, state)
        # Marked: whoever computes rates from spans must know that this one stands for itself only.
        attributes = {**(unsampled.attributes or {}), "divan.kept": reason}
        return self._recording(identity, unsampled.parent, record, attributes)


class TracerServerSpans(ServerSpans):
    """Server spans of an application's own provider, through the public tracer API."""

    def __init__(self, settings: Settings, provider: AnyTracerProvider) -> None:
        super().__init__(settings, provider)
        self._tracer = provider.get_tracer(NAME, __version__)
        self._adopt_natives()

    def _adopt_natives(self) -> None:
        settings, provider = self._settings, self.provider
        add: Any = getattr(provider, "add_span_processor", None)
        if settings.tracing_native == "defer" and add is not None:
            add(AdoptingProcessor(self.adopt))

    @property
    def exports(self) -> bool:
        return hasattr(self.provider, "force_flush")

    def of_events(self, policy: RedactionPolicy) -> EventSpans:
        from divan_obs_asgi.tracing.event_span import TracerEventSpans

        return TracerEventSpans(self._settings, policy, self.provider)

    def send_test_span(self, timeout_s: float) -> tuple[str, Answer]:
        span = self._tracer.start_span(TEST_SPAN, EMPTY)
        span.end()
        trace_id = format_trace_id(span.get_span_context().trace_id)
        if not span.get_span_context().trace_flags.sampled:
            return trace_id, "refused"
        flush: Any = self.provider
        return trace_id, "exported" if flush.force_flush(int(timeout_s * 1000)) else "timeout"

    def _new_span(self, scope: Scope, record: RequestRecord, parent: SpanContext | None, context: Context) -> Span:
        span = self._tracer.start_span(
            record.method,
            context,
            self._kind,
            self._at_start(scope, record),
            self._links(record),
            start_time=record.started_ns,
        )
        _fill(record, span.get_span_context())
        return span

    def _close(self, span: Any, record: RequestRecord) -> None:
        attributes = self._at_end(record)
        if self._old_names:
            self._add_old_names(getattr(span, "attributes", None) or {}, attributes)
        span.update_name(self._name(record))
        span.set_attributes(attributes)
        if record.outcome in FAILED:
            span.set_status(_ERROR)
        span.end(record.started_ns + int(record.duration_s * 1e9))


TEST_SPAN = "divan.trace_test"


def _fill(record: RequestRecord, identity: SpanContext) -> None:
    record.trace_id = format_trace_id(identity.trace_id)
    record.span_id = format_span_id(identity.span_id)
    record.sampled = identity.trace_flags.sampled


def error_type(record: RequestRecord) -> str:
    """HTTP semantic conventions: the exception's type, else the status; else what happened in place of one."""
    if record.error is not None:
        return type(record.error).__qualname__
    return str(record.status or record.outcome)


@lru_cache(maxsize=1024)
def _network(address: str) -> str | None:
    """Return an address without what tells one household from the next: 24 bits of IPv4, 48 of IPv6 are kept."""
    try:
        kept = 24 if ip_address(address).version == 4 else 48
        return str(ip_network(f"{address.partition('%')[0]}/{kept}", strict=False).network_address)
    except ValueError:
        return None  # A socket's path, "testclient".


@lru_cache(maxsize=1024)
def _full(address: str) -> str | None:
    try:
        return str(ip_address(address))
    except ValueError:
        return None


_ADDRESSES: dict[str, Callable[[str], str | None] | None] = {"none": None, "network": _network, "full": _full}


def _parent_of(scope: Scope, present: Mapping[bytes, bytes]) -> tuple[SpanContext | None, Context]:
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


__all__ = ["TEST_SPAN", "FastServerSpans", "ServerSpans", "TracerServerSpans"]
