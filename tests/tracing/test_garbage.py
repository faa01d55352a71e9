"""Spans are freed without the garbage collector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

import divan_obs_asgi as obs
from divan_obs_asgi.middlewares import TracingMiddleware
from divan_obs_asgi.stack.build import MiddlewareFactory
from tests.garbage import SERVERS, application
from tests.logs.root_logger import root_logger_kept
from tests.stack.test_garbage import left_behind
from tests.stacks import CORE, Observed, named

pytestmark = [pytest.mark.slow, pytest.mark.interpreter]

TRACED = {"OBS_TRACING_ENABLED": "true"}


class Forgetful(SpanExporter):
    """An exporter that discards all spans."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def of_own() -> dict[str, Any]:
    return {"span_exporter": Forgetful()}


def of_the_application() -> dict[str, Any]:
    return {"tracer_provider": TracerProvider()}


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("factories", [(TracingMiddleware,), (*CORE[:3], TracingMiddleware, *CORE[3:])], ids=named)
@pytest.mark.parametrize("provider", [of_own, of_the_application])
def test_a_traced_request_leaves_no_garbage(
    server: str, factories: tuple[MiddlewareFactory, ...], provider: Any
) -> None:
    """This holds for every outcome, with our provider and with one of the application."""
    observed = Observed(TRACED, **provider())
    with root_logger_kept():
        observed.obs.log.install()
        assert left_behind(server, obs.build_stack(application, observed.obs, factories)) == {}


@pytest.mark.parametrize("rate", ["0", "1"])
@pytest.mark.parametrize("native", ["suppress", "nest", "defer"])
def test_no_kind_of_span_leaves_garbage(native: str, rate: str) -> None:
    """Sampled, unsampled, and with a framework that traces itself."""
    flags = {**TRACED, "OBS_TRACING_NATIVE": native, "OTEL_TRACES_SAMPLER_ARG": rate, "OBS_REDACT_ERROR_BODIES": "true"}
    stack = obs.build_stack(application, Observed(flags, span_exporter=Forgetful()).obs)
    assert left_behind("httptools", stack) == {}
