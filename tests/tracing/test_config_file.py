"""OTEL_CONFIG_FILE: OpenTelemetry's declarative configuration builds the provider, and this library works on top."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("opentelemetry.configuration", reason="the SDK before 1.44 has no declarative configuration")

FILE = """
file_format: "1.0"
resource:
  attributes:
    - name: service.name
      value: of-the-file
tracer_provider:
  processors:
    - simple:
        exporter:
          console:
propagator:
  composite:
    - b3:
"""
# In a process of its own: the global tracer provider can be set once.
SCRIPT = """
import io, anyio, sys
import divan_obs_asgi as obs
from divan_obs_asgi.testing import converse, http_scope

async def app(scope, receive, send):
    with obs.span("work", password="hunter2"):
        from opentelemetry.trace import get_current_span
        get_current_span().set_attribute("api_key", "hunter3")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

observability = obs.Observability.from_env(log_stream=io.BytesIO())
wrapped = obs.wrap(app, observability)
b3 = (b"b3", b"4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1")
anyio.run(converse, wrapped, http_scope(headers=[b3]))
observability.flush()
print(type(observability.spans).__name__, observability.spans.exports)
"""


def run(path: Path, text: str | None = FILE) -> subprocess.CompletedProcess[str]:
    if text is not None:
        path.write_text(text)
    environ = {"OBS_TRACING_ENABLED": "true", "OBS_TRACING_CLIENTS": "", "OTEL_CONFIG_FILE": str(path)}
    return subprocess.run(
        [sys.executable, "-c", SCRIPT], env={**os.environ, **environ}, capture_output=True, text=True, check=False
    )


def test_the_file_builds_provider_exporter_and_propagator(tmp_path: Path) -> None:
    """The spans are redacted, and the caller's trace goes on in the format of the file."""
    done = run(tmp_path / "otel.yaml")
    assert done.returncode == 0, done.stderr
    assert "TracerServerSpans True" in done.stdout
    assert done.stdout.count("4bf92f3577b34da6a3ce929d0e0e4736") >= 2
    assert "00f067aa0ba902b7" in done.stdout
    assert "of-the-file" in done.stdout
    assert '"name": "work"' in done.stdout
    assert "hunter" not in done.stdout + done.stderr


def test_a_file_that_disables_the_sdk_makes_no_spans(tmp_path: Path) -> None:
    done = run(tmp_path / "otel.yaml", 'file_format: "1.0"\ndisabled: true\n')
    assert "DisabledServerSpans False" in done.stdout, done.stderr


@pytest.mark.parametrize(
    "text", [None, "file_format: [", "tracer_provider: 3\n"], ids=["missing", "malformed", "wrong"]
)
def test_a_file_that_cannot_be_used_is_an_error_at_start(tmp_path: Path, text: str | None) -> None:
    done = run(tmp_path / "otel.yaml", text)
    assert done.returncode == 1
    assert "ImproperlyConfigured: OTEL_CONFIG_FILE cannot be used: " in done.stderr


def test_without_the_loader_the_file_is_named() -> None:
    """With the package and the version of the SDK that bring it; spans go where the flags say."""
    from divan_obs_asgi.observability.parts import warn_of_variables_without_effect
    from divan_obs_asgi.settings import OtelSettings, Settings, TracingSettings

    settings = Settings(tracing=TracingSettings(enabled=True), otel=OtelSettings(config_file="otel.yaml"))
    with pytest.MonkeyPatch.context() as patch:
        messages: list[str] = []
        patch.setattr("logging.Logger.warning", lambda self, text, *args: messages.append(text % args))
        warn_of_variables_without_effect(settings)
    assert messages == [
        "Variables of OpenTelemetry without effect: OTEL_CONFIG_FILE (pip install opentelemetry-configuration, which "
        "needs opentelemetry-sdk 1.44 or newer). See docs/opentelemetry.md."
    ]
