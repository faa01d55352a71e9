"""Our sampler decides like the samplers of the SDK."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import sampling
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from divan_obs_asgi.settings.tracing import SAMPLERS
from divan_obs_asgi.tracing.sampling import TraceSampler


def of_the_sdk(name: str, ratio: float) -> sampling.Sampler:
    root = {
        "always_on": sampling.ALWAYS_ON,
        "always_off": sampling.ALWAYS_OFF,
        "traceidratio": sampling.TraceIdRatioBased(ratio),
    }[name.removeprefix("parentbased_")]
    return sampling.ParentBased(root) if name.startswith("parentbased_") else root


@given(
    name=st.sampled_from(SAMPLERS),
    ratio=st.floats(0, 1),
    trace_id=st.integers(1, 2**128 - 1),
    parent=st.none() | st.booleans(),
)
def test_every_standard_sampler_decides_like_the_sdk(
    name: str, ratio: float, trace_id: int, parent: bool | None
) -> None:
    """OTEL_TRACES_SAMPLER has its standard meaning, for server spans and for spans of a tracer."""
    ours, theirs = TraceSampler(name, ratio), of_the_sdk(name, ratio)
    context = None
    if parent is not None:
        span = SpanContext(trace_id, 7, True, TraceFlags(int(parent)), TraceState([("vendor", "1")]))
        context = set_span_in_context(NonRecordingSpan(span))
    expected = theirs.should_sample(context, trace_id, "GET", SpanKind.SERVER, {"a": 1})
    got = ours.should_sample(context, trace_id, "GET", SpanKind.SERVER, {"a": 1})
    assert (got.decision, dict(got.attributes or {})) == (expected.decision, dict(expected.attributes or {}))
    assert got.trace_state == expected.trace_state
    assert ours.samples(trace_id, parent) is expected.decision.is_sampled()
