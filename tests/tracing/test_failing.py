"""If everything that observes a request fails, the request still succeeds."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import anyio
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

import divan_obs_asgi as obs
from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.testing import converse, http_scope
from divan_obs_asgi.types import Receive, Scope, Send
from tests.patience import PATIENCE_S


class FailingExporter(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        raise RuntimeError("exporter")


class FailingStream(io.BytesIO):
    fails = True

    def write(self, data: Any, /) -> int:
        if self.fails:
            raise OSError("no space left")
        return super().write(data)


class FailingMiddleware(obs.RecordMiddleware):
    component = "mine"

    def observe(self, scope: Scope, record: RequestRecord) -> None:
        raise RuntimeError("middleware")


class FailingProbe:
    name = "failing"
    timeout = 1.0
    critical = False
    group = "ready"

    async def check(self) -> Mapping[str, object]:
        raise RuntimeError("probe")


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def test_failing_observers_do_not_change_the_response(caplog: pytest.LogCaptureFixture) -> None:
    """A middleware, an exporter, a log and a probe raise: each is counted and logged once; the response is complete."""
    stream = FailingStream()
    flags = {"OBS_TRACING_ENABLED": "true", "HEALTH_INTERVAL_S": "0", "OBS_TRACING_CLIENTS": ""}
    bundle = obs.Observability.from_env(flags, log_stream=stream, span_exporter=FailingExporter())
    bundle.probes.register(FailingProbe())
    stack = obs.build_stack(FailingMiddleware(hello, bundle), bundle)
    for _ in range(3):
        answer = anyio.run(converse, stack, http_scope())
        assert (answer.status, answer.body, answer.error) == (200, b"hello", None)
        ready = anyio.run(converse, stack, http_scope("/health/ready"))
        assert json.loads(ready.body)["checks"]["failing"]["ok"] is False
        bundle.flush()
    counted = {
        component: bundle.metrics.registry.get_sample_value("divan_obs_errors_total", {"component": component})
        for component in ("mine", "probes")
    }
    assert counted == {"mine": 3, "probes": 3}
    # Once a minute each, by type and place and without a text.
    messages = [record.getMessage().partition(" at ")[0] for record in caplog.records]
    assert sorted(messages) == [
        "Spans are not exported: the exporter has failed; they wait while there is room.",
        "mine failed and was left out: RuntimeError",
        "probes failed and was left out: RuntimeError",
        "sink failed and was left out: OSError",
        "tracing failed and was left out: RuntimeError",
    ]
    # It is tried again, and would be reported again, in the middle of another test.
    stream.fails = False
    assert bundle.log.sink.flush(PATIENCE_S)
