"""Which provider is used, and which one becomes the global provider."""

from __future__ import annotations

import os
import subprocess
import sys

from divan_obs_asgi.tracing.global_provider import OwnTracerProvider
from tests.stacks import Observed
from tests.tracing.exported import Exported

# In a process of its own: the global tracer provider can be set once.
SCRIPT = """
import io, anyio
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
import divan_obs_asgi as obs
from divan_obs_asgi.testing import converse, http_scope
from tests.tracing.exported import Exported

async def app(scope, receive, send):
    with obs.span("work"):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

def bundle(**arguments):
    flags = {"OBS_TRACING_ENABLED": "true", "OBS_TRACING_CLIENTS": ""}
    return obs.Observability.from_env(flags, log_stream=io.BytesIO(), **arguments)

def names(exported):
    return sorted(span.name for span in exported.spans)
"""
OF_THE_APPLICATION = """
exported = Exported()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exported))
trace.set_tracer_provider(provider)
anyio.run(converse, obs.wrap(app, bundle()), http_scope())
print(names(exported), trace.get_tracer_provider() is provider)
"""
OURS = """
first, second = Exported(), Exported()
one, two = bundle(span_exporter=first), bundle(span_exporter=second)
served, other = obs.wrap(app, one), obs.wrap(app, two)
anyio.run(converse, served, http_scope())
anyio.run(converse, other, http_scope())
one.flush(), two.flush()
print(names(first), names(second))
print(bundle().spans.provider not in (one.spans.provider, two.spans.provider))
"""

# Nobody flushes: the provider ends with the interpreter, where CPython 3.12 and later start no thread any more.
AT_EXIT = """
class ReportingExporter(Exported):
    def shutdown(self):
        print(names(self), "ended")

anyio.run(converse, obs.wrap(app, bundle(span_exporter=ReportingExporter())), http_scope())
"""

AT_TERMINATION = """
import signal
exported = Exported()
signal.signal(signal.SIGTERM, lambda *_: print(names(exported)))
anyio.run(converse, obs.wrap(app, bundle(span_exporter=exported)), http_scope())
signal.raise_signal(signal.SIGTERM)
"""


def run(script: str) -> str:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT + script]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_global_provider_of_the_application_is_used() -> None:
    """If an agent or the application has set it, our spans go through its exporters."""
    assert run(OF_THE_APPLICATION) == "['GET __unmatched__', 'work'] True\n"


def test_the_global_provider_forwards_to_the_last_observability() -> None:
    """A second `Observability` has its own provider, to which the global one then forwards."""
    assert run(OURS) == "['GET __unmatched__'] ['GET __unmatched__', 'work', 'work']\nTrue\n"


def test_the_last_spans_of_a_process_are_exported_at_its_end() -> None:
    """This works without a lifespan, and nothing is printed on stderr."""
    assert run(AT_EXIT) == "['GET __unmatched__', 'work'] ended\n"


def test_spans_are_exported_before_sigterm_ends_the_process() -> None:
    """uvicorn re-raises the signal; without a lifespan nothing else would flush the spans."""
    assert run(AT_TERMINATION) == "['GET __unmatched__', 'work']\n"


def test_our_provider_is_recognized() -> None:
    """It is never mistaken for a provider of the application."""
    spans = Observed({"OBS_TRACING_ENABLED": "true"}, span_exporter=Exported()).obs.spans
    assert spans is not None
    assert isinstance(spans.provider, OwnTracerProvider)
