"""`init` and `wrap` on FastAPI."""

from __future__ import annotations

import anyio
import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException
from fastapi.responses import JSONResponse
from starlette.requests import Request

import divan_obs_asgi as obs
from divan_obs_asgi.testing import Conversation, converse, http_scope
from divan_obs_asgi.types import ASGIApp
from tests.stacks import Observed

# Nothing here is about the root logger.
FLAGS = {"OBS_LOGGING_ENABLED": "false"}


def service() -> FastAPI:
    app, router = FastAPI(), APIRouter(prefix="/users")

    async def known(user: int) -> int:
        if user > 9:
            raise HTTPException(404, "who?")
        return user

    @router.get("/{user}")
    async def show(user: int = Depends(known)) -> int:
        return 1 // user

    app.include_router(router, prefix="/api")
    return app


def ask(app: ASGIApp, path: str) -> Conversation:
    scope = http_scope(path, headers=[(b"x-request-id", b"abc")])
    return anyio.run(converse, app, scope, [{"type": "http.request", "body": b""}])


@pytest.mark.parametrize("how", ["init", "wrap"])
@pytest.mark.parametrize(
    ("path", "status", "outcome"),
    [
        ("/api/users/1", 200, "ok"),
        ("/api/users/10", 404, "ok"),
        ("/api/users/x", 422, "ok"),
        ("/api/users/0", 500, "error"),
    ],
)
def test_one_line_observes_an_application(path: str, status: int, outcome: str, how: str) -> None:
    """Answers, refusals and unhandled exceptions carry the id, and are counted and logged under their template."""
    observed, app = Observed(FLAGS), service()
    if how == "init":
        obs.init(app, observed.obs)
        done = ask(app, path)
    else:
        done = ask(obs.wrap(app, observed.obs), path)
    assert (done.status, done.header(b"x-request-id")) == (status, [b"abc"])
    assert type(done.error) is (ZeroDivisionError if status == 500 else type(None))
    labels = {"route": "/api/users/{user}", "method": "GET", "status": str(status)}
    assert observed.value("divan_http_requests_total", **labels) == 1
    (line,) = observed.lines()
    assert (line["route"], line["status"], line["outcome"]) == ("/api/users/{user}", status, outcome)


def test_init_twice_changes_nothing() -> None:
    """One stack, and the first bundle."""
    observed, app = Observed(FLAGS), service()
    assert obs.init(app, observed.obs) is obs.init(app, Observed(FLAGS).obs)
    assert ask(app, "/api/users/1").header(b"x-request-id") == [b"abc"]
    assert len(observed.lines()) == 1


def test_a_stack_around_a_stack_counts_once() -> None:
    """`wrap` around an application that was given to `init`."""
    inner, outer, app = Observed(FLAGS), Observed(FLAGS), service()
    obs.init(app, inner.obs)
    done = ask(obs.wrap(app, outer.obs), "/api/users/1")
    assert done.header(b"x-request-id") == [b"abc"]
    assert len(inner.lines() + outer.lines()) == 1


def test_the_applications_own_handler_answers_with_the_id() -> None:
    """A handler for all exceptions is the outermost of FastAPI's parts, and still inside."""
    observed, app = Observed(FLAGS), service()

    @app.exception_handler(Exception)
    async def sorry(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"sorry": type(error).__name__}, 500)

    obs.init(app, observed.obs)
    done = ask(app, "/api/users/0")
    assert (done.status, done.body) == (500, b'{"sorry":"ZeroDivisionError"}')
    assert done.header(b"x-request-id") == [b"abc"]
    (line,) = observed.lines()
    assert line["error"]["type"] == "ZeroDivisionError"
