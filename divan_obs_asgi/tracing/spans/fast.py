"""Server spans that cost a third of the SDK's. Requires the extra `tracing`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as NotInTime
from random import getrandbits
from time import time_ns
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Span, SpanContext, SpanKind, TraceFlags, format_trace_id

from divan_obs_asgi.connection.record import Record
from divan_obs_asgi.settings import Settings
from divan_obs_asgi.tracing.export.span_queue import ExportQueue
from divan_obs_asgi.tracing.global_provider import OwnTracerProvider
from divan_obs_asgi.tracing.propagation import traceparent
from divan_obs_asgi.tracing.sampling import TraceSampler
from divan_obs_asgi.tracing.spans.attributes import Attributes, scope_at_start
from divan_obs_asgi.tracing.spans.client import FastClientSpans
from divan_obs_asgi.tracing.spans.limits import span_limits
from divan_obs_asgi.tracing.spans.recording import RecordingSpan, UnsampledSpan
from divan_obs_asgi.tracing.spans.server import ERROR, NAME, TEST_SPAN, ServerSpans, TestOutcome
from divan_obs_asgi.tracing.spans.tail_sampling import FAILED, Reason, TailSampler
from divan_obs_asgi.types import Scope
from divan_obs_asgi.version import __version__

_SAMPLED = TraceFlags(traceparent.SAMPLED)
# All bits of our own trace ids are random (W3C Trace Context, level 2, section 3.2.2.5.2).
SAMPLED_RANDOM = TraceFlags(traceparent.SAMPLED | traceparent.RANDOM)
_SPAN_BITS = 64
_SPAN_MASK = (1 << _SPAN_BITS) - 1


class FastServerSpans(ServerSpans):
    """
    Server spans that are passed directly to the processors of a provider that this library has built.

    Args:
        processors: the processors of `provider`.
        queues: the export queues, the collector's first; none without an exporter.
        load: imports the exporter; None if nothing has to be imported.
    """

    def __init__(
        self,
        settings: Settings,
        provider: OwnTracerProvider,
        processors: SpanProcessor,
        sampler: TraceSampler,
        queues: Sequence[ExportQueue],
        load: Callable[[], object] | None = None,
    ) -> None:
        super().__init__(settings, provider)
        self._sdk = provider
        self._processor = processors
        self._sampler = sampler
        self._load = load
        self._queues = queues
        self._queue = queues[0] if queues else None
        self._scope = InstrumentationScope(NAME, __version__)
        self._limits = span_limits(settings)
        self._tail_sampler = (
            TailSampler(settings.tracing.keep_slow_s, settings.tracing.keep_budget)
            if settings.tracing.keep_errors
            else None
        )
        self.finishes_unsampled = self._tail_sampler is not None
        provider.client_spans = light = FastClientSpans(
            self._descriptions, provider.resource, self._scope, processors, sampler, self._limits
        )
        self.start_internal = light.start_internal

    def prepare(self) -> None:
        if self._load is not None:
            self._load()

    def pause(self) -> None:
        for queue in self._queues:
            queue.pause()

    @property
    def exports(self) -> bool:
        return self._queue is not None

    @property
    def queued(self) -> int | None:
        return self._queue.length if self._queue is not None else None

    @property
    def export_fails(self) -> bool | None:
        return self._queue.fails if self._queue is not None else None

    def send_test_span(self, timeout_s: float) -> tuple[str, TestOutcome]:
        assert self._queue is not None
        ids = self._sdk.id_generator
        trace_id = ids.generate_trace_id()
        identity = SpanContext(trace_id, ids.generate_span_id(), False, SAMPLED_RANDOM)
        # Recorded regardless of the sampler.
        span = RecordingSpan(
            TEST_SPAN,
            identity,
            None,
            SpanKind.INTERNAL,
            self._sdk.resource,
            self._scope,
            time_ns(),
            {},
            (),
            self._limits,
        )
        span.close(TEST_SPAN, {}, None, time_ns())
        outcome = self._queue.submit(span)
        try:
            return format_trace_id(trace_id), outcome.result(timeout_s)
        except NotInTime:
            return format_trace_id(trace_id), "timeout"

    def _new_span(self, scope: Scope, record: Record, parent: SpanContext | None, context: Context) -> Span:
        # One call for both ids, which are random as in the SDK. An id of 0 (once in 10^19) is invalid and becomes 1.
        chance = getrandbits(192)
        span_id = chance & _SPAN_MASK or 1
        if parent is None:
            trace_id = chance >> _SPAN_BITS or 1
            sampled = self._sampler.samples(trace_id, None)
            state = None
            random = True
        else:
            trace_id = parent.trace_id
            sampled = self._sampler.samples(trace_id, parent.trace_flags.sampled)
            state = parent.trace_state
            random = bool(parent.trace_flags & traceparent.RANDOM)
            if not random:
                record.random_trace = False
        forced = record.debug and not sampled
        if forced:
            sampled = True
        # This costs half as much as string formatting.
        record.trace_id = trace_id.to_bytes(16).hex()
        record.span_id = span_id.to_bytes(8).hex()
        record.sampled = sampled
        if not sampled:
            unsampled = UnsampledSpan(trace_id, span_id, state, random)
            if self._tail_sampler is not None:
                unsampled.parent, unsampled.scope_at_start = parent, scope_at_start(scope)
            return unsampled
        identity = SpanContext(trace_id, span_id, False, SAMPLED_RANDOM if random else _SAMPLED, state)
        attributes = self._at_start(scope, record)
        if forced:
            # As for the spans that tail sampling keeps: it represents only itself.
            attributes["divan.kept"] = "debug"
        span = self._recording(identity, parent, record, attributes)
        self._processor.on_start(span, context)  # type: ignore[arg-type]
        return span

    def _recording(
        self, identity: SpanContext, parent: SpanContext | None, record: Record, attributes: Attributes
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
            self._limits,
        )

    def _close(self, span: Any, record: Record) -> None:
        if isinstance(span, UnsampledSpan):
            reason = self._tail_sampler.reason(record) if self._tail_sampler is not None else None
            if reason is None:
                return
            span = self._kept(span, record, reason)
        attributes = self._at_end(record)
        if self._old_names:
            self._add_old_names(span.attributes or {}, attributes)
        status = ERROR if record.outcome in FAILED else None
        span.close(self._name(record), attributes, status, record.started_ns + int(record.duration_s * 1e9))
        self._processor.on_end(span)

    def _kept(self, unsampled: UnsampledSpan, record: Record, reason: Reason) -> RecordingSpan:
        trace_id, span_id, state, random = unsampled.ids
        identity = SpanContext(trace_id, span_id, False, SAMPLED_RANDOM if random else _SAMPLED, state)
        # The mark excludes this span from rates that are computed from sampled spans: it represents only itself.
        attributes = {**self._at_start(unsampled.scope_at_start, record), "divan.kept": reason}
        return self._recording(identity, unsampled.parent, record, attributes)


__all__ = ["SAMPLED_RANDOM", "FastServerSpans"]
