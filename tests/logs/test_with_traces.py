"""Lines and spans of a request are kept or dropped together."""

from __future__ import annotations

import anyio
from opentelemetry.trace import format_trace_id

from divan_obs_asgi import build_stack
from divan_obs_asgi.testing import converse, http_scope
from divan_obs_asgi.types import Receive, Scope, Send
from tests.stacks import Observed
from tests.tracing.exported import Exported


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})


def test_under_load_the_requests_with_a_line_are_those_with_a_span() -> None:
    """At equal rates: who finds a line finds its trace, and the other way round."""
    exported = Exported()
    observed = Observed(
        {
            "OBS_TRACING_ENABLED": "true",
            "OTEL_TRACES_SAMPLER_ARG": "0.3",
            "LOG_SAMPLING_RATE_INFO": "0.3",
            "LOG_SAMPLING_BUDGET": "1",
        },
        span_exporter=exported,
    )
    stack = build_stack(hello, observed.obs)

    async def ask() -> None:
        for _ in range(300):
            await converse(stack, http_scope())

    anyio.run(ask)
    observed.obs.flush()
    traced = {format_trace_id(span.context.trace_id) for span in exported.spans if span.context}
    rates = {line["trace_id"]: line["sample_rate"] for line in observed.lines()}
    sampled = {trace_id for trace_id, rate in rates.items() if rate == 0.3}
    # The first line of each second is within the budget, whatever its trace.
    within_budget = rates.keys() - sampled
    assert 30 < len(sampled) < 180
    assert sampled == traced - within_budget
