"""Without tracing and without OpenTelemetry the same application runs at no cost."""

from __future__ import annotations

import importlib.util

import pytest

import divan_obs_asgi as obs
from divan_obs_asgi import middlewares
from tests.stacks import Observed


def test_without_tracing_the_span_functions_do_nothing() -> None:
    """An application needs no `if`: functions are called, and exceptions propagate."""
    work = Observed().obs.work
    with work.span("work", n=1) as span:
        span.set_attribute("m", 2)
        span.add_event("tick")
        assert not span.is_recording()
    assert work.traced(lambda: 3)() == 3
    assert work.background(lambda n: n, 4)() == 4
    with pytest.raises(LookupError), work.span("work"):
        raise LookupError


def test_the_packages_own_functions_use_the_global_provider() -> None:
    """Without a provider, `obs.traced`, `obs.span` and `obs.background` only call the function."""
    assert obs.traced(lambda: 1)() == 1
    assert obs.background(lambda: 2)() == 2
    with obs.span("work"):
        pass


if importlib.util.find_spec("opentelemetry") is None:

    def test_a_missing_opentelemetry_names_the_extra() -> None:
        """The error is raised at start-up and has the command to install it."""
        with pytest.raises(ImportError, match=r"pip install 'divan-obs-asgi\[tracing-clients\]'"):
            _ = middlewares.ContribTracingMiddleware
        with pytest.raises(obs.ImproperlyConfigured, match="is true and OpenTelemetry is not installed"):
            Observed({"OBS_TRACING_ENABLED": "true"})
