"""The server span of a slow or failed request has the same figures as its line."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import divan_obs_asgi as obs
from divan_obs_asgi.testing import converse, http_scope
from tests.stacks import Observed, run_on
from tests.waits.test_causes import during


def attributes_after(flags: dict[str, str], *, fails: bool = False) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the attributes of the span about waits, and the line, of one request that waits for a query."""
    exporter = InMemorySpanExporter()
    observed = Observed({"OBS_TRACING_ENABLED": "true", **flags}, span_exporter=exporter)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if observed.obs.settings.requests.wait_times_enabled:
            await during("sql", anyio.sleep(0.02))
        else:
            await anyio.sleep(0.02)
        if fails:
            raise ValueError
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x"})

    async def request() -> None:
        try:
            await converse(obs.build_stack(app, observed.obs), http_scope("/work"))
        except ValueError:
            assert fails

    run_on("asyncio", request)
    observed.obs.flush()
    (line,) = [line for line in observed.lines() if "outcome" in line]
    (span,) = exporter.get_finished_spans()
    attributes = dict(span.attributes or {})
    return {name: value for name, value in attributes.items() if name.startswith("divan.waited.")}, line


@pytest.mark.parametrize(
    ("flags", "fails"),
    [
        ({"LOG_SLOW_MS": "1"}, False),
        ({"OBS_TRACING_KEEP_ERRORS": "true", "OBS_TRACING_KEEP_SLOW_S": "0.001"}, False),
        ({"OBS_TRACING_KEEP_ERRORS": "true", "OTEL_TRACES_SAMPLER_ARG": "0"}, True),
        ({}, True),
    ],
)
def test_a_slow_or_failed_request_explains_itself(flags: dict[str, str], fails: bool) -> None:
    """In seconds, which add up to the duration; the line says the same in milliseconds."""
    waited, line = attributes_after(flags, fails=fails)

    assert waited["divan.waited.sql.count"] == line["waited"]["sql"]["n"] == 1
    assert waited["divan.waited.sql.duration"] == pytest.approx(line["waited"]["sql"]["ms"] / 1e3, abs=1e-4)
    durations = [value for name, value in waited.items() if name.endswith(".duration")]
    assert sum(durations) == pytest.approx(line["latency_ms"] / 1e3, abs=0.002)


def test_a_fast_request_has_no_more_attributes() -> None:
    """Nor one without the flag."""
    assert attributes_after({"LOG_SLOW_MS": "30000"})[0] == {}
    assert attributes_after({"LOG_SLOW_MS": "1", "OBS_WAIT_TIMES_ENABLED": "false"})[0] == {}
