"""
The wheel in a fresh environment beside other versions and distributions of OpenTelemetry, as real commands.

Each environment has what a user asks pip for, and nothing of these tests: the extra `tracing`, uvicorn, a neighbour.
Run by `tox run -e tracing-beside`.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.ops.service import Service
from tests.servers.otlp import OtlpReceiver

pytestmark = pytest.mark.skipif("DIVAN_BESIDE" not in os.environ, reason="tox run -e tracing-beside")

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
# Its exporter speaks OTLP over HTTP only; the receiver is given to it in code.
LOGFIRE = """
import logfire
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import BatchSpanProcessor
logfire.configure(
    send_to_logfire=False, console=False, additional_span_processors=[BatchSpanProcessor(OTLPSpanExporter())]
)
"""


@pytest.fixture(scope="session")
def pip(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The pip that Python brings along, whose rules are not those of other installers; it takes seconds to install."""
    folder = tmp_path_factory.mktemp("pip")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    return [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]


class Environment:
    """A virtual environment with the wheel under test, uvicorn and other packages."""

    def __init__(self, folder: Path, pip: Sequence[str], neighbours: Sequence[str]) -> None:
        self._programs = folder / "bin"
        # By tox: the wheel that it has built and installed.
        wanted = [f"{os.environ['TOX_PACKAGE']}[tracing]", "uvicorn", *neighbours]
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        subprocess.run([*pip, "--python", self.program("python"), "install", "-q", "--no-compile", *wanted], check=True)
        # A set of versions that do not fit each other is reported and not refused.
        subprocess.run([*pip, "--python", self.program("python"), "check"], check=True)

    def program(self, name: str) -> str:
        return str(self._programs / name)

    def version(self, package: str) -> str:
        code = f"import importlib.metadata; print(importlib.metadata.version({package!r}))"
        return subprocess.check_output([self.program("python"), "-c", code], text=True).strip()


class Installed(Service):
    """The shop, served by the uvicorn of an environment; `wrapper` is a command that starts it."""

    def __init__(self, environment: Environment, wrapper: str | None, before: str, flags: Mapping[str, str]) -> None:
        super().__init__(SHOP.format(before=before), flags)
        self._environment = environment
        self._wrapper = [environment.program(wrapper)] if wrapper else []

    def command(self) -> Sequence[str]:
        return [*self._wrapper, self._environment.program("python"), *super().command()[1:]]


def requests_one_trace(service: Service, receiver: OtlpReceiver) -> None:
    """Request a page once; the receiver gets its span, and one of the handler below it."""
    before = len(receiver.spans())
    response = service.client.get("/users/7")
    assert response.status_code == 200
    receiver.wait_for(before + 2, 60.0)
    service.stop()
    spans = receiver.spans()[before:]
    assert sorted(span.name for span in spans) == ["GET /users/{id}", "work"]
    assert [span.kind for span in spans].count(Span.SPAN_KIND_SERVER) == 1
    assert {span.trace_id.hex() for span in spans} == {response.headers["traceparent"].split("-")[1]}


@pytest.fixture
def flags(otlp_receiver: OtlpReceiver) -> dict[str, str]:
    return {
        "OBS_TRACING_ENABLED": "true",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_ENDPOINT": otlp_receiver.endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
        "OTEL_SERVICE_NAME": "shop",
    }


def oldest_sdk() -> str:
    """Return the lower bound of the extra."""
    requirements = importlib.metadata.requires("divan-obs-asgi") or []
    (bound,) = {match[1] for text in requirements if (match := re.match(r"opentelemetry-sdk>=([\d.]+); extra", text))}
    return bound


def test_the_oldest_sdk(tmp_path: Path, pip: list[str], otlp_receiver: OtlpReceiver, flags: dict[str, str]) -> None:
    """An application that has pinned the SDK at the lower bound keeps it."""
    environment = Environment(tmp_path, pip, [f"opentelemetry-sdk=={oldest_sdk()}"])
    assert environment.version("opentelemetry-sdk").startswith(oldest_sdk())
    with closing(Installed(environment, None, "", flags)) as service:
        requests_one_trace(service.start(), otlp_receiver)


def test_the_newest_sdk_without_and_with_an_agent(
    tmp_path: Path, pip: list[str], otlp_receiver: OtlpReceiver, flags: dict[str, str]
) -> None:
    """
    The newest SDK is what pip chooses. The provider of `opentelemetry-instrument` is used, with its exporter.

    Its instrumentation of Starlette makes no second span.
    """
    neighbours = ["opentelemetry-distro", "opentelemetry-instrumentation-starlette>=0.60b0"]
    environment = Environment(tmp_path, pip, neighbours)
    with closing(Installed(environment, None, "", flags)) as service:
        requests_one_trace(service.start(), otlp_receiver)
    flags |= {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
    with closing(Installed(environment, "opentelemetry-instrument", "", flags)) as service:
        requests_one_trace(service.start(), otlp_receiver)


def test_logfire(tmp_path: Path, pip: list[str], otlp_receiver: OtlpReceiver, flags: dict[str, str]) -> None:
    """The provider of `logfire.configure()` is used, with its exporters."""
    environment = Environment(tmp_path, pip, ["logfire"])
    flags |= {"OTEL_TRACES_EXPORTER": "none"}
    with closing(Installed(environment, None, LOGFIRE, flags)) as service:
        requests_one_trace(service.start(), otlp_receiver)
