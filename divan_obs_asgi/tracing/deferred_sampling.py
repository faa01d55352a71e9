"""Taking over the ids of a framework's server span, where ours stands down. Imported only where tracing is on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar

from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span, SpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState, format_span_id, format_trace_id, get_current_span
from opentelemetry.trace import Span as AnySpan
from opentelemetry.util.types import Attributes

from divan_obs_asgi.connection.record import RequestRecord
from divan_obs_asgi.tracing.propagation import traceparent
from divan_obs_asgi.tracing.sampling import TraceSampler

# The record of the connection whose framework has not started its span yet.
waiting: ContextVar[RequestRecord | None] = ContextVar("divan_obs_asgi.waiting_for_span", default=None)

Adopt = Callable[[RequestRecord, AnySpan], None]


class AdoptingProcessor(SpanProcessor):
    """Hands the first server span of a waiting connection to its record."""

    def __init__(self, adopt: Adopt) -> None:
        self._adopt = adopt

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        record = waiting.get()
        if record is not None and span.kind is SpanKind.SERVER:
            waiting.set(None)
            self._adopt(record, span)


class AdoptingSampler(TraceSampler):
    """
    Notes the trace of a server span that is not sampled: no processor hears of it.

    The SDK asks the sampler first, and then its id generator for the span's id, in one go.
    """

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes | None = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        result = super().should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)
        record = waiting.get()
        if record is not None and kind is SpanKind.SERVER and not result.decision.is_sampled():
            record.trace_id = format_trace_id(trace_id)
            record.sampled = False
            caller = get_current_span(parent_context).get_span_context()
            # Those that are made here are random.
            record.random_trace = not caller.is_valid or bool(caller.trace_flags & traceparent.RANDOM)
        return result


class AdoptingIds(RandomIdGenerator):
    """Gives the record of an unsampled server span its span id."""

    def __init__(self, told: Callable[[RequestRecord], None]) -> None:
        self._told = told

    def generate_span_id(self) -> int:
        span_id = super().generate_span_id()
        record = waiting.get()
        if record is not None and record.sampled is False:
            waiting.set(None)
            record.span_id = format_span_id(span_id)
            self._told(record)
        return span_id


__all__ = ["AdoptingIds", "AdoptingProcessor", "AdoptingSampler", "waiting"]
