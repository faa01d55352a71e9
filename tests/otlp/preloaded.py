"""An application that is loaded before the fork, as `gunicorn --preload` does it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

from tests.patience import PATIENCE_S

# Each of two workers serves a request, and the parent afterwards; with SERVES_BEFORE the parent does so before,
# too, and forks while it exports the line.
_PROGRAM = """
import io, os, anyio
import divan_obs_asgi as obs
from divan_obs_asgi.testing import converse, http_scope

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})

bundle = obs.Observability.from_env(log_stream=io.BytesIO())
stack = obs.build_stack(app, bundle)
if os.environ.get("SERVES_BEFORE"):
    anyio.run(converse, stack, http_scope())
children = []
for _ in range(2):
    child = os.fork()
    if child == 0:
        anyio.run(converse, stack, http_scope())
        bundle.flush()
        bundle.exports.pause()
        os._exit(0)
    children.append(child)
for child in children:
    os.waitpid(child, 0)
anyio.run(converse, stack, http_scope())
"""


def run_preloaded(environ: Mapping[str, str], *, serves_before: bool = False) -> None:
    """Run it with these variables beside those of this process, of which none is OpenTelemetry's."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _PROGRAM],
        env={**inherited, "SERVES_BEFORE": "1" if serves_before else "", **environ},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S * 2,
    )
    assert done.returncode == 0, done.stderr
