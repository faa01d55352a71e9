"""A script of another origin reads the headers that the library sets, and the status of a failure."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

import divan_obs_asgi as obs
from divan_obs_asgi.testing import Conversation, converse, http_scope, websocket_scope
from divan_obs_asgi.types import ASGIApp, Receive, Scope, Send
from tests.stacks import Observed

SHOP = "https://shop.example"
EXPOSED = b"access-control-expose-headers"


async def hello(request: Request) -> Response:
    return PlainTextResponse("hello")


async def breaks(request: Request) -> Response:
    raise ValueError("on purpose")


ROUTES = [Route("/", hello), Route("/broken", breaks)]


def ask(app: ASGIApp, path: str = "/", origin: str | None = SHOP, **scope: Any) -> Conversation:
    headers = [(b"host", b"api.example"), *([(b"origin", origin.encode())] if origin else [])]
    return anyio.run(converse, app, http_scope(path, headers=headers, **scope), [{"type": "http.request", "body": b""}])


def inside(observed: Observed, **options: Any) -> ASGIApp:
    """`init`, and `CORSMiddleware` as Starlette and FastAPI add it."""
    app = Starlette(routes=ROUTES, middleware=[Middleware(CORSMiddleware, allow_origins=[SHOP], **options)])
    obs.init(app, observed.obs)
    return app


def outside(observed: Observed, **options: Any) -> ASGIApp:
    """`CORSMiddleware` around everything."""
    app = Starlette(routes=ROUTES)
    obs.init(app, observed.obs)
    return CORSMiddleware(app, allow_origins=[SHOP], **options)


def mounted(observed: Observed, **options: Any) -> ASGIApp:
    """A part of an application is observed, all of it has `CORSMiddleware`."""
    part = obs.wrap(Starlette(routes=ROUTES), observed.obs)
    return Starlette(
        routes=[Mount("/", part)], middleware=[Middleware(CORSMiddleware, allow_origins=[SHOP], **options)]
    )


@pytest.mark.parametrize("place", [inside, outside, mounted])
def test_a_script_of_an_allowed_origin_can_read_the_id(place: Any) -> None:
    """Wherever `CORSMiddleware` stands."""
    done = ask(place(Observed()))
    assert done.header(b"access-control-allow-origin") == [SHOP.encode()]
    assert done.header(EXPOSED) == [b"x-request-id"]
    assert len(done.header(b"x-request-id")) == 1


def test_what_the_application_exposes_stays() -> None:
    """Its list is made longer; a `*` without credentials names ours already."""
    assert ask(inside(Observed(), expose_headers=["X-Total"])).header(EXPOSED) == [b"X-Total, x-request-id"]
    assert ask(inside(Observed(), expose_headers=["*"])).header(EXPOSED) == [b"*"]
    with_credentials = ask(inside(Observed(), expose_headers=["*"], allow_credentials=True))
    assert with_credentials.header(EXPOSED) == [b"*, x-request-id"]


def test_a_list_of_a_middleware_outside_needs_our_names() -> None:
    """It replaces what comes from inside, so that the bundle says what to put into it."""
    observed = Observed({"OBS_REQUEST_ID_RESPONSE_HEADER": "X-Correlation-ID"})
    names = observed.obs.response_headers
    assert names == ("X-Correlation-ID",)
    done = ask(outside(observed, expose_headers=["X-Total", *names]))
    assert done.header(EXPOSED) == [b"X-Total, X-Correlation-ID"]
    assert Observed({"OBS_REQUEST_ID_ENABLED": "false"}).obs.response_headers == ()


@pytest.mark.parametrize("path", ["/health/live", "/nowhere"])
def test_every_answer_names_them(path: str) -> None:
    """Those of the library's own endpoints too, and a 404."""
    assert ask(outside(Observed()), path).header(EXPOSED) == [b"x-request-id"]


def test_a_failure_keeps_its_cors_headers_where_cors_stands_outside() -> None:
    """A script reads the 500 and the id to report; from Starlette's own place for middlewares it reads neither."""
    done = ask(outside(Observed()), "/broken")
    assert (done.status, done.header(b"access-control-allow-origin")) == (500, [SHOP.encode()])
    assert done.header(EXPOSED) == [b"x-request-id"]
    done = ask(inside(Observed()), "/broken")
    assert (done.status, done.header(b"access-control-allow-origin")) == (500, [])


def test_a_redacted_error_keeps_its_cors_headers() -> None:
    """OBS_REDACT_ERROR_BODIES changes the body, and what describes it."""

    async def fails(request: Request) -> Response:
        return PlainTextResponse("mail to ada@example.org", 500)

    observed = Observed({"OBS_REDACT_ERROR_BODIES": "true"})
    app = Starlette(routes=[Route("/", fails)], middleware=[Middleware(CORSMiddleware, allow_origins=[SHOP])])
    obs.init(app, observed.obs)
    done = ask(app)
    assert (done.status, done.body) == (500, b"mail to [redacted:email]")
    assert done.header(b"access-control-allow-origin") == [SHOP.encode()]
    assert done.header(EXPOSED) == [b"x-request-id"]


def test_without_another_origin_nothing_is_exposed() -> None:
    """A request of the same origin, of a program or of a probe has no such header, nor has a WebSocket."""
    app = inside(Observed())
    assert ask(app, origin=None).header(EXPOSED) == []

    async def accepts(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})

    stack = obs.build_stack(accepts, Observed().obs)
    assert anyio.run(converse, stack, websocket_scope(headers=[(b"origin", SHOP.encode())])).header(EXPOSED) == []


def test_an_application_that_allows_every_origin_by_itself_is_understood() -> None:
    """Whatever asked: a cache may hand the response to a script of another origin later."""

    async def open_to_all(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"access-control-allow-origin", b"*")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body"})

    assert ask(obs.build_stack(open_to_all, Observed().obs), origin=None).header(EXPOSED) == [b"x-request-id"]


def test_a_stack_within_a_stack_names_each_header_once() -> None:
    """The inner one has said it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    inner = obs.build_stack(app, Observed().obs)
    assert ask(obs.build_stack(inner, Observed().obs)).header(EXPOSED) == [b"x-request-id"]


def test_the_documented_applications_answer_across_origins() -> None:
    """What docs/request-ids.md shows can be copied as it stands: ids of your own, and CORS around the application."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "request-ids.md").read_text()
    own_ids, around, served = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    shown: dict[str, Any] = {"obs": obs, "CORSMiddleware": CORSMiddleware, "FastAPI": lambda: Starlette(routes=ROUTES)}
    shown |= {"numbers": itertools.count(1), "app": Starlette(routes=ROUTES)}
    exec(own_ids, shown)
    exec(around, shown)
    done = ask(shown["app"])
    assert (done.header(b"x-request-id"), done.header(EXPOSED)) == ([b"shop-1"], [b"X-Total, X-Request-Id"])
    exec(served, shown)
    done = ask(shown["served"], "/broken")
    assert (done.status, done.header(b"access-control-allow-origin")) == (500, [SHOP.encode()])
