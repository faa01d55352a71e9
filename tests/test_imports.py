"""A process loads what its flags need: start-up is time that every worker and every test pays."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import pytest

INIT = """
import divan_obs_asgi as obs
from starlette.applications import Starlette
bundle = obs.init(Starlette())
"""
# Each takes tens of milliseconds, or is not needed before something uses it.
CLIENTS = ["asyncpg", "databases", "httpx", "redis", "requests", "sqlalchemy", "urllib3"]
EXPORTER = ["grpc", "google.protobuf", "opentelemetry.exporter.otlp.proto.common", "opentelemetry.sdk._logs"]
PARTS = ["divan_obs_asgi.cli", "divan_obs_asgi.checks", "divan_obs_asgi.testing", "divan_obs_asgi.ops_assets"]
ALWAYS_ABSENT = [*CLIENTS, *EXPORTER, *PARTS, "click", "fastapi", "socketio", "yaml"]
PROBES = ["divan_obs_asgi.probes.http", "divan_obs_asgi.probes.sql", "divan_obs_asgi.probes.s3"]
TRACING = {
    "OBS_TRACING_ENABLED": "true",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
}


def loaded(code: str, names: list[str], environ: dict[str, str] | None = None) -> list[str]:
    """Return which of the modules a new process has loaded after `code`."""
    report = f"\nimport json, sys\nprint(json.dumps([name for name in {names!r} if name in sys.modules]))"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("OBS_", "OTEL_"))}
    done = subprocess.run(
        [sys.executable, "-c", code + report],
        env={**inherited, **(environ or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_import_alone_loads_nothing() -> None:
    """A module that only needs a name of the package does not load the stack, the redaction or the metrics."""
    heavy = ["prometheus_client", "re2", "starlette", "opentelemetry", "importlib.metadata", "anyio", "asyncio"]
    assert loaded("import divan_obs_asgi", [*ALWAYS_ABSENT, *PROBES, *heavy]) == []


@pytest.mark.slow
def test_init_loads_no_part_that_is_off() -> None:
    """With the default flags neither OpenTelemetry nor a probe that nobody registers is loaded."""
    assert loaded(INIT, [*ALWAYS_ABSENT, *PROBES, "opentelemetry"]) == []


@pytest.mark.slow
def test_the_names_that_handlers_call_are_loaded_by_init() -> None:
    """No request waits for the import of `obs.span` or `obs.fail`."""
    names = "obs.span, obs.traced, obs.background, obs.operation, obs.fail, obs.carry, obs.CarryingExecutor, obs.logger"
    code = f"{INIT}\nimport sys\nbefore = set(sys.modules)\n_ = {names}\nassert not sys.modules.keys() - before"
    assert loaded(code, ["divan_obs_asgi.tracing.spans.global_spans"]) != []


if importlib.util.find_spec("opentelemetry") is not None:

    @pytest.mark.slow
    def test_tracing_loads_neither_the_exporter_nor_any_client() -> None:
        """A library is traced when the application imports it, and gRPC is loaded when the application starts."""
        assert loaded(INIT, [*ALWAYS_ABSENT, *PROBES], TRACING) == []

    @pytest.mark.slow
    def test_the_exporter_is_loaded_before_the_first_request() -> None:
        """No request shares the interpreter with the import of gRPC."""
        code = f"{INIT}\nimport anyio\n"
        code += "async def live():\n    async with bundle.running():\n        pass\nanyio.run(live)"
        assert loaded(code, ["grpc", "divan_obs_asgi.otlp.grpc_transport"], TRACING) == [
            "grpc",
            "divan_obs_asgi.otlp.grpc_transport",
        ]

    @pytest.mark.slow
    @pytest.mark.parametrize("library", ["httpx", "sqlalchemy", "redis"])
    def test_a_library_that_is_imported_later_is_traced(library: str) -> None:
        """`init` may come before the imports of the application."""
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed")
        code = f"{INIT}\nimport {library}\nassert {library!r} in bundle.spans.clients.instrument()"
        assert loaded(code, [library], TRACING) == [library]
