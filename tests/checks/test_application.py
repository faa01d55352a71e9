"""`--app`: what is imported, and what becomes of it. Each application is imported by a process of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.checks.asked import reported, run

pytestmark = pytest.mark.slow

HEAD = """
import divan_obs_asgi as obs
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

async def page(request):
    return PlainTextResponse("hello")

def app(path="/page", **options):
    made = Starlette(routes=[Route(path, page)], **options)
    obs.init(made)
    return made
"""
FINE = "app = app()"


def written(folder: Path, text: str, name: str = "shop") -> str:
    (folder / f"{name}.py").write_text(HEAD + text)
    return f"{name}:app"


def test_a_function_that_returns_the_application_is_called(tmp_path: Path) -> None:
    """As uvicorn does with --factory."""
    name = written(tmp_path, "make = lambda: app('/metrics')\nnot_a_function = app()")
    (finding,) = reported("--factory", "--app", name.replace("app", "make"), cwd=tmp_path)
    assert finding["id"] == "obs.W035"
    done = run("--factory", "--app", name.replace("app", "not_a_function"), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        2,
        "Error: shop:not_a_function cannot be imported: it raised TypeError.\n",
    )


def test_a_message_names_the_middleware(tmp_path: Path) -> None:
    """With its module, to be found."""
    name = written(
        tmp_path,
        "class PrometheusMiddleware(GZipMiddleware): ...\n"
        'PrometheusMiddleware.__module__ = "starlette_exporter.middleware"\n'
        "app = app(middleware=[Middleware(PrometheusMiddleware)])",
    )
    (finding,) = reported("--app", name, cwd=tmp_path)
    assert finding["message"].startswith(
        "starlette_exporter.middleware.PrometheusMiddleware counts each request as well"
    )


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("no_colon", "--app is 'no_colon'; expected module:attribute, like shop.main:app."),
        ("no_such_module:app", "no_such_module:app cannot be imported: No module named 'no_such_module'"),
        ("broken:nothing", "broken:nothing cannot be imported: module 'broken' has no attribute 'nothing'"),
        ("raising:app", "raising:app cannot be imported: it raised ValueError."),
        ("leaving:app", "leaving:app cannot be imported: it raised SystemExit."),
    ],
)
def test_what_cannot_be_imported_is_status_two(name: str, told: str, tmp_path: Path) -> None:
    """In one line, without the text of the application's own exceptions."""
    written(tmp_path, "", "broken")
    written(tmp_path, "raise ValueError('hunter2')", "raising")
    written(tmp_path, "raise SystemExit(0)", "leaving")
    done = run("--app", name, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"Error: {told}\n")


def test_what_the_flags_have_wrong_is_told_where_the_application_cannot_start(tmp_path: Path) -> None:
    """They are the reason why it cannot."""
    done = run("--app", written(tmp_path, FINE), cwd=tmp_path, environ={"LOG_LEVEL": "loud"})
    assert done.returncode == 2
    assert done.stdout.startswith("obs.E001 error: LOG_LEVEL is 'loud'")


def test_the_directory_of_the_workers_is_not_touched(tmp_path: Path) -> None:
    """A check beside a running service is not one of its workers."""
    directory = tmp_path / "metrics"
    directory.mkdir()
    environ = {"PROMETHEUS_MULTIPROC_DIR": str(directory)}
    assert reported("--app", written(tmp_path, FINE), cwd=tmp_path, environ=environ) == []
    assert list(directory.iterdir()) == []


def test_standard_output_has_the_report_only(tmp_path: Path) -> None:
    """What the application prints and logs goes to standard error."""
    name = written(tmp_path, f"{FINE}; print('printed'); import logging; logging.warning('logged')")
    done = run("--format", "json", "--app", name, cwd=tmp_path)
    assert json.loads(done.stdout)["errors"] == done.returncode == 0
    assert "printed" in done.stderr
    assert "logged" in done.stderr


def test_a_metric_of_the_application_is_known_with_it(tmp_path: Path) -> None:
    """And one that it has not made is an error."""
    name = written(tmp_path, "app = app()\nobs.init(app).metrics.counter('coffees_total', 'Coffees.')")
    rules = [{"alert": what, "expr": f"rate(divan_{what}_total[5m])"} for what in ("coffees", "teas")]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"rules": rules}]}))
    (finding,) = reported("--app", name, "--rules", "rules.yml", cwd=tmp_path)
    assert (finding["id"], finding["message"]) == ("obs.E050", "teas: divan_teas_total does not exist.")
