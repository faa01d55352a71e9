"""The ops endpoints and traces."""

from __future__ import annotations

from collections.abc import Mapping

import anyio

import divan_obs_asgi as obs
from divan_obs_asgi.testing import converse, http_scope
from tests.stacks import Observed
from tests.tracing.exported import Exported


class Flag:
    """A probe that is well or not."""

    name = "redis"
    timeout = 10.0
    critical = True
    group: obs.probes.Group = "ready"
    up = True

    async def check(self) -> Mapping[str, object]:
        if not self.up:
            raise obs.ProbeFailed("refused")
        return {}


async def nothing(scope: object, receive: object, send: object) -> None:
    raise AssertionError("the application was called")


def test_only_a_failing_health_request_has_a_span() -> None:
    """A trace for every probe would be most of what the collector stores."""
    exported, probe = Exported(), Flag()
    observed = Observed({"OBS_TRACING_ENABLED": "true"}, span_exporter=exported)
    observed.obs.probes.register(probe)
    stack = obs.build_stack(nothing, observed.obs)
    anyio.run(converse, stack, http_scope("/health/ready"))
    observed.obs.flush()
    assert exported.spans == []
    probe.up = False
    anyio.run(converse, stack, http_scope("/health/ready"))
    observed.obs.flush()
    assert [span.name for span in exported.spans] == ["GET /health/ready"]
