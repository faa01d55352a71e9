"""What Prometheus scrapes of readiness, and what a balancer is answered, from a process that serves."""

from __future__ import annotations

import re
import time

import pytest

from tests.ops.service import OPERATOR, Service, served
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.slow

APP = """
from pathlib import Path

import divan_obs_asgi as obs
from starlette.applications import Starlette

app = Starlette()
observability = obs.init(app)


@observability.probes.probe("store")
async def store():
    if not Path(__file__).with_name("up").exists():
        raise obs.ProbeFailed("refused")
"""


def gauge(service: Service) -> float | None:
    page = service.client.get("/metrics", headers=OPERATOR).text
    found = re.search(r"^divan_health_ready (\S+)$", page, re.MULTILINE)
    return float(found[1]) if found else None


def becomes(service: Service, expected: float) -> None:
    """Wait for the gauge, which nobody's question moves, and ask for the answer then."""
    until = time.monotonic() + PATIENCE_S
    while gauge(service) != expected:
        assert time.monotonic() < until, f"it is {gauge(service)}"
        time.sleep(0.02)
    assert service.client.get("/health/ready").status_code == (200 if expected else 503)


def test_the_gauge_is_the_answer() -> None:
    """A dependency that goes and comes back, and a drain."""
    with served(APP, {"HEALTH_INTERVAL_S": "0.05"}) as service:
        up = service.directory / "up"
        becomes(service, 0)
        up.touch()
        becomes(service, 1)
        up.unlink()
        becomes(service, 0)
        up.touch()
        becomes(service, 1)
        assert service.client.post("/ops/drain", headers=OPERATOR).status_code == 200
        becomes(service, 0)
