"""GET /ops/middleware."""

from __future__ import annotations

from typing import Any

import anyio
import orjson
import pytest

import divan_obs_asgi as obs
from divan_obs_asgi import middlewares
from divan_obs_asgi.testing import converse, http_scope
from divan_obs_asgi.types import ASGIApp
from tests.ops.asking import application, bearer, operated, told


def test_what_is_on_and_what_is_not_is_told_in_order() -> None:
    """Outermost first, each with the reason for which it stepped aside."""
    (stack,) = told(operated({"OBS_ACCESS_LOG_ENABLED": "false"}), "/ops/middleware")["stacks"]
    prefix = "divan_obs_asgi.middlewares."
    assert [place["name"].removeprefix(prefix) for place in stack] == [
        "ContextMiddleware",
        "RequestIdMiddleware",
        "RedactionMiddleware",
        "TracingMiddleware",
        "MetricsMiddleware",
        "AccessLogMiddleware",
        "QuietPathsMiddleware",
        "OpsMiddleware",
    ]
    off = {place["name"].removeprefix(prefix): place["why_not"] for place in stack if not place["on"]}
    assert off == {
        "TracingMiddleware": "OBS_TRACING_ENABLED is false",
        "AccessLogMiddleware": "OBS_ACCESS_LOG_ENABLED is false",
        "QuietPathsMiddleware": "OBS_QUIET_PATHS is empty",
    }


def test_a_third_partys_reason_is_redacted() -> None:
    """Whatever it says, and whatever it is called."""

    def aside(app: ASGIApp, bundle: obs.Observability) -> ASGIApp:
        raise obs.MiddlewareNotUsed("no mail to ada@example.org")

    observed = operated()
    stack: Any = obs.build_stack(application, observed.obs, [aside, middlewares.OpsMiddleware])
    done = anyio.run(converse, stack, http_scope("/ops/middleware", headers=[bearer()]))
    ((told_of, _),) = orjson.loads(done.body)["stacks"]
    assert told_of["why_not"] == "no mail to [redacted:email]"
    assert told_of["name"].endswith("aside")


@pytest.mark.parametrize("built", [3, 300])
def test_the_last_stacks_are_remembered(built: int) -> None:
    """A bundle of which many stacks are built, as in tests, does not grow."""
    observed = operated()
    for _ in range(built):
        obs.build_stack(application, observed.obs, [middlewares.RequestIdMiddleware])
    assert len(told(observed, "/ops/middleware")["stacks"]) == min(8, built + 1)
