"""An application's own liveness path is no traffic."""

from __future__ import annotations

import anyio
import pytest

import divan_obs_asgi as obs
from divan_obs_asgi.middlewares import QuietPathsMiddleware
from divan_obs_asgi.testing import Telemetry, converse, http_scope, websocket_scope
from divan_obs_asgi.types import ASGIApp, Receive, Scope, Send
from tests.stacks import Observed

QUIET = {"OBS_QUIET_PATHS": "/ping,/livez"}
IN_FLIGHT = "divan_http_requests_in_flight"


def app(status: int = 200) -> ASGIApp:
    async def answers(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close"})
            return
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body"})

    return answers


@pytest.mark.parametrize("scope", [http_scope("/ping"), {**http_scope("/api/livez"), "root_path": "/api"}])
def test_a_quiet_path_is_no_traffic(scope: Scope, telemetry: Telemetry) -> None:
    """No line, no series, and not in flight; below the root that a server or a mount has taken off, too."""
    observed = Observed(QUIET)
    done = anyio.run(converse, obs.build_stack(app(), observed.obs), scope)
    assert (done.status, len(done.header(b"x-request-id"))) == (200, 1)
    assert telemetry.lines.find(logger="divan_obs_asgi.access") == []
    assert telemetry.metrics.find(name="divan_http_requests_total") == []
    assert observed.value(IN_FLIGHT) == 0


@pytest.mark.parametrize("status", [404, 503])
def test_one_that_fails_is_logged_and_counted(status: int, telemetry: Telemetry) -> None:
    """Somebody wants to know why the process is restarted."""
    observed = Observed(QUIET)
    anyio.run(converse, obs.build_stack(app(status), observed.obs), http_scope("/ping"))
    assert telemetry.lines.one(logger="divan_obs_asgi.access")["status"] == status
    assert telemetry.metrics.value("divan_http_requests_total") == 1
    assert observed.value(IN_FLIGHT) == 0


@pytest.mark.parametrize("path", ["/", "/ping/", "/pings", "/api/ping", "/PING"])
def test_only_the_exact_path_is_quiet(path: str, telemetry: Telemetry) -> None:
    """A flag for probes hides nothing else."""
    observed = Observed(QUIET)
    anyio.run(converse, obs.build_stack(app(), observed.obs), http_scope(path))
    assert telemetry.lines.one(logger="divan_obs_asgi.access")["status"] == 200


def test_a_websocket_of_that_path_is_traffic(telemetry: Telemetry) -> None:
    """Nobody probes with one."""
    observed = Observed(QUIET)
    anyio.run(converse, obs.build_stack(app(), observed.obs), websocket_scope("/ping"))
    assert telemetry.lines.one(logger="divan_obs_asgi.access")["status"] == 101


def test_it_steps_aside_where_there_is_none() -> None:
    """The default; then it is not in the stack."""
    with pytest.raises(obs.MiddlewareNotUsed, match=r"^OBS_QUIET_PATHS is empty$"):
        QuietPathsMiddleware(app(), Observed().obs)
