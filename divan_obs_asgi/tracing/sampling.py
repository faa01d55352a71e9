"""OpenTelemetry's six standard samplers, implemented as one rule. Requires the extra `tracing`."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import Link, SpanKind, TraceState, get_current_span
from opentelemetry.util.types import Attributes

_PARENT_BASED = "parentbased_"


class TraceSampler(Sampler):
    """
    The sampler that OTEL_TRACES_SAMPLER names.

    Server spans call `samples`, which costs one comparison; the SDK's tracers call `should_sample`.
    """

    def __init__(self, name: str, ratio: float) -> None:
        self._description = f"{name}{{{ratio}}}"
        self._parent_decides = name.startswith(_PARENT_BASED)
        root = name.removeprefix(_PARENT_BASED)
        rate = {"always_on": 1.0, "always_off": 0.0, "traceidratio": ratio}[root]
        self._bound = TraceIdRatioBased.get_bound_for_rate(rate)

    def samples(self, trace_id: int, parent_sampled: bool | None) -> bool:
        """Return whether a span of this trace is sampled; `parent_sampled` is None for a span without a parent."""
        if parent_sampled is not None and self._parent_decides:
            return parent_sampled
        # Uses the low 64 bits, as the SDK does. W3C Trace Context (level 2, section 3.2.2.3) requires 56 random bits.
        return (trace_id & TraceIdRatioBased.TRACE_ID_LIMIT) < self._bound

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
        parent = get_current_span(parent_context).get_span_context()
        sampled = self.samples(trace_id, parent.trace_flags.sampled if parent.is_valid else None)
        decision = Decision.RECORD_AND_SAMPLE if sampled else Decision.DROP
        return SamplingResult(
            decision, attributes if sampled else None, parent.trace_state if parent.is_valid else None
        )

    def get_description(self) -> str:
        return self._description


__all__ = ["TraceSampler"]
