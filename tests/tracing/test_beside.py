"""Beside another distribution of OpenTelemetry: one server span and one trace."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.ops.service import Service
from tests.servers.otlp import OtlpReceiver

SHOP = """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from opentelemetry import trace
import divan_obs_asgi as obs
{before}

async def user(request):
    with trace.get_tracer("shop").start_as_current_span("work"):
        return PlainTextResponse("hi")

app = Starlette(routes=[Route("/users/{{id}}", user)])
obs.init(app)
"""
LOGFIRE = """
import logfire
logfire.configure(send_to_logfire=False, console=False)
"""


def need(module: str, name: str) -> None:
    """Skip a test whose distribution is not installed; under its tox environment fail it."""
    try:
        there = importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        there = False
    if not there and os.environ.get("DIVAN_BESIDE") == name:
        pytest.fail(f"{module} is not installed")
    if not there:
        pytest.skip(f"{module} is not installed (tox run -e tracing-beside-{name})")


class Instrumented(Service):
    """`opentelemetry-instrument python -m uvicorn service:app`."""

    def command(self) -> Sequence[str]:
        return [os.path.join(os.path.dirname(sys.executable), "opentelemetry-instrument"), *super().command()]

    def popen(self, command: Sequence[str], *, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        return super().popen(
            command, env={"OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none", **(env or {})}
        )


def flags(receiver: OtlpReceiver) -> dict[str, str]:
    return {
        "OBS_TRACING_ENABLED": "true",
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_SERVICE_NAME": "shop",
    }


def one_trace(service: Service, receiver: OtlpReceiver) -> None:
    """Ask the service once, and look at its spans."""
    response = service.client.get("/users/7")
    assert response.status_code == 200
    receiver.wait_for(2, 60.0)
    service.stop()
    spans = [span for span in receiver.spans() if span.name in ("work", "GET /users/{id}")]
    assert len({span.trace_id for span in spans}) == 1
    assert [span.kind for span in receiver.spans()].count(Span.SPAN_KIND_SERVER) == 1
    assert response.headers["traceparent"].split("-")[1] == spans[0].trace_id.hex()


def test_an_agent_and_this_library_make_one_server_span(otlp_receiver: OtlpReceiver) -> None:
    """The agent's provider is used, and its exporter."""
    need("opentelemetry.distro", "distro")
    with closing(Instrumented(SHOP.format(before=""), flags(otlp_receiver))) as service:
        one_trace(service.start(), otlp_receiver)


def test_logfire_and_this_library_make_one_server_span(otlp_receiver: OtlpReceiver) -> None:
    """Its provider is used, and its exporter, which is OTLP over HTTP; the receiver is given to it in code."""
    need("logfire", "logfire")
    exporter = (
        "from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter\n"
        "from opentelemetry.sdk.trace.export import BatchSpanProcessor\n"
    )
    before = exporter + LOGFIRE.replace(
        "console=False", "console=False, additional_span_processors=[BatchSpanProcessor(OTLPSpanExporter())]"
    )
    given = {name: value for name, value in flags(otlp_receiver).items() if name != "OTEL_TRACES_EXPORTER"}
    given |= {"OTEL_TRACES_EXPORTER": "none"}
    with closing(Service(SHOP.format(before=before), given)) as service:
        one_trace(service.start(), otlp_receiver)
