"""The documentation agrees with the code: examples that use other libraries."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import databases
import pytest
import redis.asyncio
import structlog
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.applications import Starlette
from starlette.background import BackgroundTasks

import divan_obs_asgi as obs
from divan_obs_asgi.testing import converse, http_scope
from divan_obs_asgi.types import ASGIApp
from tests.test_docs import blocks


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The names that the documents take for granted."""
    monkeypatch.setenv("LOG_LEVEL", "ERROR")  # Their lines go to standard output.
    with contextlib.ExitStack() as stack:
        stack.callback(structlog.reset_defaults)
        stack.callback((provider := TracerProvider()).shutdown)
        yield {
            "obs": obs,
            "observability": obs.Observability.from_env({}),
            "app": Starlette(),
            "redis": redis.asyncio.Redis(),
            "database": databases.Database("sqlite://"),
            "tasks": BackgroundTasks(),
            "send_mail": print,
            "address": "somebody",
            "provider": provider,
            "exporter": InMemorySpanExporter(),
            "BatchSpanProcessor": BatchSpanProcessor,
        }


@pytest.mark.parametrize("document", ["health.md", "logs.md", "tracing.md", "socketio.md"])
def test_what_a_document_shows_runs(document: str, shown: dict[str, Any]) -> None:
    """Its examples can be copied, one after the other."""
    for code in blocks(document, "python"):
        exec(code, shown)


def test_what_the_readme_shows_runs(shown: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The application, the other ways to wrap one, a middleware of one's own and the probes."""
    package = tmp_path / "myproject"
    package.mkdir()
    (package / "tenancy.py").write_text(
        "class TenantMiddleware:\n    def __new__(cls, app, obs):\n        return app\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    readme = Path(__file__).resolve().parents[1] / "README.md"
    for code in re.findall(r"```python\n(.*?)```", readme.read_text(), re.DOTALL):
        exec(code, shown)
    app: ASGIApp = shown["app"]
    assert anyio.run(converse, app, http_scope("/users/42")).body == b"hello"
    assert {"redis", "sqlite", "migrations"} <= set(shown["observability"].probes.names())
