"""OtlpProbe: the result of the last export of spans."""

from __future__ import annotations

import anyio
import grpc
import pytest
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

import divan_obs_asgi as obs
from divan_obs_asgi.probes import OtlpProbe
from divan_obs_asgi.testing import converse, http_scope
from divan_obs_asgi.types import Receive, Scope, Send
from tests.servers.otlp import OtlpReceiver
from tests.stacks import Observed


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


def test_the_probe_follows_the_collector(otlp_receiver: OtlpReceiver) -> None:
    """The service stays ready, because the probe is not critical."""
    observed = Observed({"OBS_TRACING_ENABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": otlp_receiver.endpoint})
    observed.obs.probes.register(OtlpProbe(observed.obs.spans))
    stack = obs.build_stack(app, observed.obs)

    def answer_after_a_request() -> tuple[bool, object]:
        anyio.run(converse, stack, http_scope())
        observed.obs.flush()
        report = anyio.run(observed.obs.probes.ask, "ready")
        return report.ok, report.checks["otlp"]["ok"]

    assert anyio.run(OtlpProbe(observed.obs.spans).check) == {}  # Nothing has been sent, and nothing failed.
    assert answer_after_a_request() == (True, True)
    otlp_receiver.refuses_with = grpc.StatusCode.PERMISSION_DENIED
    assert answer_after_a_request() == (True, False)
    otlp_receiver.refuses_with = None
    assert answer_after_a_request() == (True, True)


def test_a_check_makes_no_spans() -> None:
    """Otherwise each dependency would make a trace every two seconds. The application's own spans are kept."""
    observed = Observed()
    enabled: list[bool] = []

    @observed.obs.probes.probe("search")
    async def asks_a_traced_client() -> None:
        enabled.append(is_instrumentation_enabled())

    assert anyio.run(observed.obs.probes.ask, "ready").ok
    assert enabled == [False]
    assert is_instrumentation_enabled()


def test_the_exporter_of_another_provider_is_unknown() -> None:
    """The application's own tracer provider does not report results."""
    from opentelemetry.sdk.trace import TracerProvider

    provider = TracerProvider(shutdown_on_exit=False)
    observed = Observed({"OBS_TRACING_ENABLED": "true"}, tracer_provider=provider)
    assert anyio.run(OtlpProbe(observed.obs.spans).check) == {"exporter": "unknown"}


def test_without_tracing_it_is_a_start_up_error() -> None:
    """Without tracing no spans are exported."""
    expected = r"^OtlpProbe needs tracing, and OBS_TRACING_ENABLED is false\.$"
    with pytest.raises(obs.ImproperlyConfigured, match=expected):
        OtlpProbe(Observed().obs.spans)
