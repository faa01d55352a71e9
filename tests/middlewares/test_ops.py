"""The ops endpoints stand in front of an application and out of its way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import NoReturn

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import divan_obs_asgi as obs
from divan_obs_asgi.middlewares import OpsMiddleware
from divan_obs_asgi.testing import converse, http_scope, websocket_scope
from divan_obs_asgi.types import Receive, Scope, Send
from tests.stacks import BACKENDS, Observed, run_on

ENDPOINTS = ("/health/live", "/health/ready", "/health/startup", "/metrics")


async def echo_path(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("path", ["/", "/health", "/healthz", "/health/liveness", "/metrics/x", "/api/metrics"])
def test_every_other_path_is_the_applications(path: str, backend: str) -> None:
    """Also those that look like ours."""
    app = OpsMiddleware(echo_path, Observed().obs)
    assert run_on(backend, converse, app, http_scope(path)).body == path.encode()


@pytest.mark.parametrize("path", ENDPOINTS)
def test_the_application_is_not_asked_for_ours(path: str) -> None:
    """A catch-all route or an outage of the application does not change the answers."""

    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("the application was called")

    app = OpsMiddleware(broken, Observed({"OBS_METRICS_PUBLIC": "true"}).obs)
    assert anyio.run(converse, app, http_scope(path)).status == 200


@pytest.mark.parametrize("path", ENDPOINTS)
def test_a_websocket_to_one_of_the_paths_is_the_applications(path: str) -> None:
    """We answer requests only."""
    called: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        called.append(scope["path"])

    anyio.run(converse, OpsMiddleware(app, Observed().obs), websocket_scope(path))
    assert called == [path]


def test_a_probe_a_second_is_no_traffic() -> None:
    """A successful one is neither counted nor logged, and leaves no mark in the server's scope."""
    observed = Observed({"OBS_METRICS_PUBLIC": "true", "LOG_SLOW_MS": "1"})
    stack = obs.build_stack(echo_path, observed.obs)
    for path in ENDPOINTS:
        scope = http_scope(path)
        before = set(scope)
        done = anyio.run(converse, stack, scope)
        assert done.status == 200
        assert {key for key in set(scope) - before if not key.startswith("divan_obs_asgi.")} == set()
    assert observed.samples("divan_http_requests_total") == {}
    assert observed.samples("divan_http_outcomes_total") == {}
    assert observed.lines() == []


class Down:
    """A probe of something that is down, and tells the log."""

    name = "redis"
    timeout = 10.0
    critical = True
    group: obs.probes.Group = "ready"

    async def check(self) -> Mapping[str, object]:
        raise obs.ProbeFailed("refused")


def test_a_failing_health_request_is_told() -> None:
    """It is counted and logged under its template, as any request that fails."""
    observed = Observed()
    observed.obs.probes.register(Down())
    scope = http_scope("/v1/health/ready")
    scope["root_path"] = "/v1"
    done = anyio.run(converse, obs.build_stack(echo_path, observed.obs), scope)
    assert done.status == 503
    assert observed.value("divan_http_requests_total", route="/health/ready", method="GET", status="503") == 1
    (line,) = observed.lines()
    assert (line["level"], line["route"], line["status"], line["outcome"]) == ("ERROR", "/health/ready", 503, "error")
    assert done.header(b"x-request-id") == [line["request_id"].encode()]


def test_a_refused_metrics_request_is_told() -> None:
    """A scraper with the wrong token would otherwise be missed by nobody but its dashboards."""
    observed = Observed({"OBS_ADMIN_TOKEN": "a-token"})
    assert anyio.run(converse, obs.build_stack(echo_path, observed.obs), http_scope("/metrics")).status == 401
    assert observed.value("divan_http_requests_total", route="/metrics", method="GET", status="401") == 1
    assert [(line["route"], line["status"]) for line in observed.lines()] == [("/metrics", 401)]


def test_a_broken_endpoint_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its exception is in the line."""
    observed = Observed({"OBS_METRICS_PUBLIC": "true"})

    def broken(*_: object) -> NoReturn:
        raise RuntimeError("on purpose")

    monkeypatch.setattr(observed.obs.metrics, "slices", broken)
    done = anyio.run(converse, obs.build_stack(echo_path, observed.obs), http_scope("/metrics"))
    assert (done.status, type(done.error)) == (500, RuntimeError)
    (line,) = observed.lines()
    assert (line["route"], line["error"]["type"]) == ("/metrics", "RuntimeError")


def test_the_application_keeps_its_lifespan() -> None:
    """The ops application has none of its own to start instead."""
    lived: list[str] = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        lived.append("started")
        yield
        lived.append("ended")

    app = OpsMiddleware(Starlette(lifespan=lifespan), Observed().obs)
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    done = anyio.run(converse, app, {"type": "lifespan", "state": {}}, messages)
    assert [message["type"] for message in done.sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert lived == ["started", "ended"]


def test_it_stands_before_a_framework_of_the_same_paths() -> None:
    """An application that had its own `/health/live` gets ours; `OBS_OPS_ENABLED=false` gives it back."""

    async def own(request: Request) -> PlainTextResponse:
        return PlainTextResponse("our own")

    def answer(environ: dict[str, str]) -> bytes:
        stack = obs.build_stack(Starlette(routes=[Route("/health/live", own)]), Observed(environ).obs)
        return anyio.run(converse, stack, http_scope("/health/live")).body

    assert answer({}) == b'{"status":"ok"}'
    assert answer({"OBS_OPS_ENABLED": "false"}) == b"our own"


def test_it_steps_aside_where_it_is_off() -> None:
    """The reason is the flag's name."""
    with pytest.raises(obs.MiddlewareNotUsed, match=r"^OBS_OPS_ENABLED is false$"):
        OpsMiddleware(echo_path, Observed({"OBS_OPS_ENABLED": "false"}).obs)
