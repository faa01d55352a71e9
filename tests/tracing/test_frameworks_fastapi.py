"""FastAPI >= 0.165 starts its own server span if there is a global provider; there is still only one span."""

from __future__ import annotations

import os
import subprocess
import sys

import fastapi
import pytest

# In a process of its own: the global tracer provider can be set once.
SCRIPT = """
import io, anyio, fastapi
from opentelemetry import trace
import divan_obs_asgi as obs
from divan_obs_asgi.testing import converse, http_scope
from tests.tracing.exported import Exported

exported = Exported()
bundle = obs.Observability.from_env({"OBS_TRACING_ENABLED": "true"}, span_exporter=exported, log_stream=io.BytesIO())
app = fastapi.FastAPI()
app.get("/hello/{name}")(lambda name: name)
served = app if HOW == "init" and obs.init(app, bundle) else obs.wrap(app, bundle)
assert trace.get_tracer_provider().current() is bundle.spans.provider
answer = anyio.run(converse, served, http_scope("/hello/ada"))
bundle.flush()
print(answer.status, [(span.name, span.kind.name) for span in exported.spans])
"""


@pytest.mark.skipif(
    tuple(map(int, fastapi.__version__.split(".")[:2])) < (0, 165), reason="FastAPI makes spans since 0.165"
)
@pytest.mark.parametrize("how", ["init", "wrap"])
def test_one_request_is_one_server_span(how: str) -> None:
    """This holds for `init` and `wrap`, which set the global provider."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"HOW = {how!r}{SCRIPT}"],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "200 [('GET /hello/{name}', 'SERVER')]\n", done.stderr
