"""Applications: for each check one that has the fault, and one that has not."""

from __future__ import annotations

import importlib.util
import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from tests.checks.asked import findings, ids, invoke
from tests.patience import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
HEAD = """
import divan_obs_asgi as obs
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

async def page(request):
    return PlainTextResponse("hello")

def starlette(path="/page", *middleware):
    return Starlette(routes=[Route(path, page)], middleware=[Middleware(one) for one in middleware])

async def raw(scope, receive, send):
    pass

OURS = "divan_obs_asgi.middlewares."
"""
FINE = 'app = starlette("/page", GZipMiddleware); obs.init(app)'
WRAPPED = 'app = obs.wrap(starlette("/page", GZipMiddleware))'
OTHER_METRICS = """
class PrometheusMiddleware(GZipMiddleware): ...
PrometheusMiddleware.__module__ = "starlette_exporter.middleware"
app = obs.wrap(starlette("/page", PrometheusMiddleware))
"""
OTHER_TRACES = OTHER_METRICS.replace("starlette_exporter.middleware", "opentelemetry.instrumentation.asgi")
OTHER_IDS = OTHER_METRICS.replace("starlette_exporter.middleware", "asgi_correlation_id.middleware")
STACK = "app = obs.build_stack(starlette(), obs.Observability.from_env(), [{}])"
TRACED = {"OBS_TRACING_ENABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "grpc://127.0.0.1:4317"}
has_tracing = pytest.mark.skipif(importlib.util.find_spec("opentelemetry") is None, reason="needs the extra tracing")

CASES = [
    ("obs.W030", "app = starlette()", FINE, {}),
    ("obs.W030", "app = raw", WRAPPED, {}),
    ("obs.W031", 'app = starlette("/page", BaseHTTPMiddleware); obs.init(app)', FINE, {}),
    ("obs.W031", 'app = obs.wrap(starlette("/page", type("Mine", (BaseHTTPMiddleware,), {})))', WRAPPED, {}),
    pytest.param("obs.W032", OTHER_TRACES, WRAPPED, TRACED, marks=has_tracing),
    ("obs.W033", OTHER_METRICS, WRAPPED, {}),
    ("obs.W034", OTHER_IDS, WRAPPED, {}),
    ("obs.W035", 'app = starlette("/metrics"); obs.init(app)', FINE, {}),
    ("obs.W035", 'app = obs.wrap(starlette("/health/{name}"))', WRAPPED, {}),
    ("obs.W036", "app = obs.wrap(raw)", WRAPPED, {}),
    ("obs.W037", STACK.format('OURS + "AccessLogMiddleware"'), FINE, {}),
    ("obs.W038", f"{FINE}; import logging; logging.basicConfig(force=True)", FINE, {}),
    ("obs.W039", STACK.format('OURS + "OpsMiddleware", OURS + "MetricsMiddleware"'), WRAPPED, {}),
    ("obs.W039", STACK.format("obs.middlewares.OpsMiddleware, obs.middlewares.MetricsMiddleware"), FINE, {}),
]


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is imported is not there for the next test, nor what it did to uvicorn's logger."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging.getLogger("uvicorn.access"), "disabled", False)


def written(text: str, name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    Path(f"{name}.py").write_text(HEAD + text)
    monkeypatch.delitem(sys.modules, name, raising=False)
    return f"{name}:app"


@pytest.mark.parametrize(("id", "faulty", "fine", "environ"), CASES)
def test_a_fault_is_found_where_it_is(
    id: str, faulty: str, fine: str, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert id in ids("--app", written(faulty, "faulty_app", monkeypatch), environ=environ)
    logging.getLogger("uvicorn.access").disabled = False
    assert ids("--app", written(fine, "fine_app", monkeypatch), environ=environ) == set()


def test_a_function_that_returns_the_application_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """As uvicorn does with --factory."""
    name = written(
        "def app():\n    made = starlette('/metrics')\n    obs.init(made)\n    return made", "made_app", monkeypatch
    )
    assert ids("--factory", "--app", name) == {"obs.W035"}
    assert invoke("--factory", "--app", "made_app:raw").exit_code == 2


def test_a_message_names_the_middleware(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its module, to be found."""
    (finding,) = findings("--app", written(OTHER_METRICS, "named_app", monkeypatch))
    assert finding["message"].startswith("starlette_exporter.middleware.PrometheusMiddleware counts each request, too")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("no_colon", "--app is 'no_colon'; expected module:attribute, like shop.main:app."),
        ("no_such_module:app", "no_such_module:app cannot be imported: No module named 'no_such_module'"),
        ("broken_app:nothing", "broken_app:nothing cannot be imported: module 'broken_app' has no attribute 'nothing'"),
        ("raising_app:app", "raising_app:app cannot be imported: it raised ValueError."),
    ],
)
def test_what_cannot_be_imported_is_status_two(name: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line, without the text of the application's own exceptions."""
    written("", "broken_app", monkeypatch)
    written("raise ValueError('hunter2')", "raising_app", monkeypatch)
    result = invoke("--app", name)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"Error: {told}\n")


def test_what_the_flags_have_wrong_is_told_where_the_application_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are the reason why it cannot."""
    result = invoke("--app", written(FINE, "unready_app", monkeypatch), environ={"LOG_LEVEL": "loud"})
    assert result.exit_code == 2
    assert result.stdout.startswith("obs.E001 error: LOG_LEVEL is 'loud'")


def test_the_directory_of_the_workers_is_not_touched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A check beside a running service is not one of its workers."""
    directory = tmp_path / "metrics"
    directory.mkdir()
    environ = {"PROMETHEUS_MULTIPROC_DIR": str(directory)}
    assert ids("--app", written(FINE, "shared_app", monkeypatch), environ=environ) == set()
    assert list(directory.iterdir()) == []


@pytest.mark.slow
def test_standard_output_has_the_report_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the application prints and logs goes to standard error."""
    text = f"{FINE}; print('printed'); import logging; logging.warning('logged')"
    command = [sys.executable, "-m", "divan_obs_asgi", "check", "--format", "json", "--app"]
    command.append(written(text, "talking_app", monkeypatch))
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert json.loads(done.stdout)["errors"] == done.returncode == 0
    assert "printed" in done.stderr
    assert "logged" in done.stderr
