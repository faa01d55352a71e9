"""The contract of the middlewares, with tracing in each subset."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from divan_obs_asgi.middlewares import TracingMiddleware
from divan_obs_asgi.stack.build import MiddlewareFactory
from tests.stack.test_contract import FLAGS, keeps_the_contract, wrapped
from tests.stacks import BACKENDS, CORE, Observed, loops, pairs, run_on
from tests.tracing.exported import Exported

TRACED = {**FLAGS, "OBS_TRACING_ENABLED": "true"}
TRACING: MiddlewareFactory = TracingMiddleware
# Tracing beside each two others: three of them without tracing are in tests/stack/test_contract.py.
SETS = [(TRACING,), *((TRACING, *others) for others in pairs(CORE))]


@pytest.mark.slow
@pytest.mark.parametrize(("factories", "backend"), loops(SETS))
def test_each_pair_with_tracing_keeps_the_contract(factories: tuple[MiddlewareFactory, ...], backend: str) -> None:
    """A server span does not change the response, except for the header `traceparent`."""
    exported = Exported()
    observed = Observed(TRACED, span_exporter=exported)
    run_on(backend, keeps_the_contract, lambda app: wrapped(app, observed.obs, factories))
    observed.obs.flush()
    assert exported.spans


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_applications_own_provider_keeps_the_contract(backend: str) -> None:
    """The same with the public API of a provider of the application."""
    exported = Exported()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exported))
    observed = Observed(TRACED, tracer_provider=provider)
    run_on(backend, keeps_the_contract, lambda app: wrapped(app, observed.obs, (TracingMiddleware, *CORE)))
    assert exported.spans
