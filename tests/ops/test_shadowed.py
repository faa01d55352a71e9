"""Paths of the application that ours stand before, as those who start it are told."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route, Router, WebSocketRoute

import divan_obs_asgi as obs
from divan_obs_asgi.testing import converse
from tests.ops.asking import application, bearer, scope_of, told
from tests.ops.service import OPERATOR, served
from tests.stacks import Observed


async def answer(request: Any) -> PlainTextResponse:
    return PlainTextResponse("the application")


def warned(app: Any, caplog: pytest.LogCaptureFixture, **flags: str) -> str:
    """Return the paths that the warning at the start of an application names."""
    caplog.clear()
    bundle = Observed(flags).obs
    obs.build_stack(app, bundle)
    bundle.background.mark_started()
    messages = [record.getMessage() for record in caplog.records if record.name == "divan_obs_asgi.ops"]
    assert len(messages) <= 1
    for message in messages:
        assert "OBS_OPS_PREFIX" in message
        assert "OBS_OPS_ENABLED=false" in message
    return messages[0].partition(" cannot be reached")[0].removeprefix("The application's own ") if messages else ""


SHADOWED: dict[str, tuple[list[Any], str]] = {
    "metrics": ([Route("/metrics", answer)], "/metrics"),
    "of another method": ([Route("/metrics", answer, methods=["OPTIONS"])], "/metrics"),
    "with a slash": ([Route("/metrics/", answer)], "/metrics/"),
    "health": ([Route("/health/live", answer), Route("/health", answer)], "/health/live"),
    "health of any group": ([Route("/health/{group}", answer)], "/health/{group}"),
    "one check": ([Route("/health/ready/{check}", answer)], "/health/ready/{check}"),
    "all below health": ([Route("/health/{rest:path}", answer)], "/health/{rest:path}"),
    "ops": ([Route("/ops", answer), Route("/ops/jobs/{id:int}", answer)], "/ops, /ops/jobs/{id}"),
    "a mounted application": ([Mount("/metrics", application)], "/metrics"),
    "a mounted application above": ([Mount("/health", application)], "/health"),
    "mounted routes": ([Mount("/health", routes=[Route("/live", answer), Route("/x", answer)])], "/health/live"),
    "below a host": ([Host("example.org", Router([Route("/metrics", answer)]))], "/metrics"),
}
REACHED: dict[str, list[Any]] = {
    "a page for all others": [Route("/{path:path}", answer), Route("/{page}", answer), Mount("/", application)],
    "similar ones": [Route("/health", answer), Route("/metrics-of-mine", answer), Route("/opsroom", answer)],
    "below something else": [Route("/api/metrics", answer), Mount("/admin", routes=[Route("/ops", answer)])],
    "a tenant's": [Route("/{tenant}/metrics", answer)],
    "a WebSocket": [WebSocketRoute("/ops", application)],
    "health beside ours": [Mount("/health", routes=[Route("/deep", answer)])],
}


@pytest.mark.parametrize(("routes", "paths"), SHADOWED.values(), ids=list(SHADOWED))
def test_a_path_that_is_not_reached_is_named(routes: list[Any], paths: str, caplog: pytest.LogCaptureFixture) -> None:
    """Once, at start-up; moved away or switched off, nothing is said."""
    app = Starlette(routes=routes)
    named = warned(app, caplog)
    assert named == paths.replace("{rest:path}", "{rest}")
    assert warned(app, caplog, OBS_OPS_PREFIX="/internal") == ""
    assert warned(app, caplog, OBS_OPS_ENABLED="false") == ""
    # Only health is beside the application then, and nothing of one check.
    is_beside = paths.startswith("/health") and "ready/" not in paths
    assert warned(app, caplog, OBS_OPS_PORT="9464") == (named if is_beside else "")


@pytest.mark.parametrize("routes", REACHED.values(), ids=list(REACHED))
def test_of_what_is_reached_nothing_is_said(routes: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    """A page for all that nobody else answers is not meant for our paths."""
    assert warned(Starlette(routes=routes), caplog) == ""


def test_below_the_prefix_the_same_holds(caplog: pytest.LogCaptureFixture) -> None:
    """What is for all others there is no rival; the application's own metrics are."""
    app = Starlette(routes=[Mount("/internal", application), Route("/internal/{path:path}", answer)])
    assert warned(app, caplog, OBS_OPS_PREFIX="/internal") == ""
    app = Starlette(routes=[Route("/internal/metrics", answer), Route("/metrics", answer)])
    assert warned(app, caplog, OBS_OPS_PREFIX="/internal/") == "/internal/metrics"


def test_of_many_some_are_named(caplog: pytest.LogCaptureFixture) -> None:
    """A line has an end."""
    app = Starlette(routes=[Route(f"/ops/{number:02}", answer) for number in range(12)])
    assert warned(app, caplog).endswith("/ops/08, /ops/09 and 2 more")


def _fastapi() -> Any:
    from fastapi import APIRouter, FastAPI

    router = APIRouter()
    router.add_api_route("/live", lambda: "x")
    app = FastAPI()
    app.include_router(router, prefix="/health")
    app.add_api_route("/metrics", lambda: "x")
    return app


def _litestar() -> Any:
    litestar = import_module("litestar")

    async def anything() -> str:
        return ""

    anything.__annotations__ = {"return": str}
    handlers = [litestar.get(path)(anything) for path in ("/metrics", "/health/live", "/users")]
    # Its default takes the handlers of the root logger away.
    return litestar.Litestar(handlers, logging_config=None)


def _quart() -> Any:
    app = import_module("quart").Quart("quarter")
    for path in ("/metrics", "/health/<group>", "/<path:rest>"):
        app.add_url_rule(path, path, answer)
    return app


def _django() -> Any:
    settings, urls = import_module("django.conf").settings, import_module("django.urls")
    handlers = import_module("django.core.handlers.asgi")
    if not settings.configured:
        settings.configure(SECRET_KEY="x", ALLOWED_HOSTS=["*"])
    settings.ROOT_URLCONF = (
        urls.path("metrics", answer),
        urls.path("health/", urls.include([urls.path("live", answer), urls.path("deep", answer)])),
        urls.re_path(r"^ops/$", answer),
        urls.re_path(r"^.*$", answer),
        urls.path("<path:rest>", answer),
    )
    return handlers.ASGIHandler()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("framework", "made", "paths"),
    [
        ("fastapi", _fastapi, "/health/live, /metrics"),
        ("litestar", _litestar, "/health/live, /metrics"),
        ("quart", _quart, "/health/{group}, /metrics"),
        ("django", _django, "/health/live, /metrics, /ops/"),
    ],
)
def test_the_paths_of_other_frameworks_are_known(
    framework: str, made: Callable[[], Any], paths: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Where they can be listed; of all others nothing is claimed."""
    if find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed")
    assert warned(made(), caplog) == paths
    assert warned(application, caplog) == ""


def test_the_prefix_moves_everything() -> None:
    """The endpoints, what they say of themselves, the audit log and the spellings that are refused."""
    observed = Observed({"OBS_ADMIN_TOKEN": "the-token-of-the-operators", "OBS_OPS_PREFIX": "/internal"})
    observed.obs.log.install()
    paths = {endpoint["path"] for endpoint in told(observed, "/internal/ops")["endpoints"]}
    assert {path.split("/")[1] for path in paths} == {"internal"}
    stack = obs.build_stack(Starlette(routes=[Route("/{path:path}", answer)]), observed.obs)

    def status(path: str, *headers: tuple[bytes, bytes]) -> tuple[int | None, bool]:
        done = anyio.run(converse, stack, scope_of(path, *headers))
        return done.status, done.body == b"the application"

    assert status("/internal/health/live") == (200, False)
    assert status("/internal/metrics", bearer()) == (200, False)
    assert status("/internal/ops/none", bearer("guess")) == (401, False)
    assert status("//internal/metrics", bearer()) == (404, False)
    for path in ("/health/live", "/metrics", "/ops", "/internal", "/internal/health"):
        assert status(path) == (200, True)
    audit = [line["msg"] for line in observed.lines() if line["logger"] == "divan_obs_asgi.audit"]
    assert audit == ["GET /internal/ops/{unknown}: 401, for a refused client at 192.0.2.7."]


APP = """
import divan_obs_asgi as obs
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse

app = Starlette()
obs.init(app)
app.add_route("/metrics", lambda request: PlainTextResponse("the application"))
"""


@pytest.mark.slow
@pytest.mark.parametrize("flags", [{}, {"OBS_OPS_PREFIX": "/internal"}], ids=str)
def test_a_service_says_so_at_its_start(flags: dict[str, str]) -> None:
    """By the real command, of a route that was added after `init`; moved away, both are served."""
    with served(APP, flags) as service:
        prefix = flags.get("OBS_OPS_PREFIX", "")
        assert service.client.get(f"{prefix}/metrics", headers=OPERATOR).text.startswith("# HELP")
        assert (service.client.get("/metrics").text == "the application") == bool(flags)
        service.stop()
        lines = [line for line in service.log if "The application's own /metrics cannot be reached" in line]
        assert len(lines) == (0 if flags else 1)
