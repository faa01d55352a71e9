"""The routes of Litestar: controllers, routers, mounts and WebSockets."""

from __future__ import annotations

from typing import Any

import litestar
import pytest
from fastapi import FastAPI
from litestar import Controller, Litestar, Router, WebSocket, asgi, get
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from divan_obs_asgi.types import ASGIApp, Receive, Scope, Send
from tests.connection.routes.naming import Copying, named_as, names, post, websocket

# `FromPath`, which the newest version wants, is not there in the oldest one.
pytestmark = pytest.mark.filterwarnings("ignore:.*deprecated inferred style")


@get("/")
async def home() -> str:
    return "ok"


@get("/users/{pk:int}")
async def user(pk: int) -> str:
    return "ok"


@get("/missing/{pk:int}")
async def missing(pk: int) -> str:
    raise litestar.exceptions.NotFoundException


@get(["/files/{rest:path}", "/f"])
async def files(rest: Any = None) -> str:
    return "ok"


class Orders(Controller):
    path = "/orders/{tenant:str}"

    @get("/{key:uuid}")
    async def one(self, tenant: str, key: Any) -> str:
        return "ok"


@litestar.websocket("/chat/{room:str}")
async def chat(socket: WebSocket[Any, Any, Any], room: str) -> None:
    await socket.accept()
    await socket.close()


async def _raw(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def _mount(path: str | list[str], app: ASGIApp) -> Any:
    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    return asgi(path, is_mount=True, copy_scope=False)(mounted)


def service() -> Any:
    inner = Starlette(routes=[Route("/things/{number:int}/", lambda request: PlainTextResponse("ok"))])
    return Litestar(
        [
            home,
            user,
            missing,
            files,
            chat,
            Router("/api/v1", route_handlers=[Orders]),
            _mount("/raw", _raw),
            _mount("/inner", inner),
        ],
        logging_config=None,
        openapi_config=None,
    )


ROUTES = {
    "/": ("/", 200),
    "/users/7": ("/users/{pk}", 200),
    "/users/7/": ("/users/{pk}", 200),
    "/users/nobody": ("__unmatched__", 404),
    "/missing/7": ("/missing/{pk}", 404),
    "/files/a/b": ("/files/{rest}", 200),
    "/f": ("/f", 200),
    "/api/v1/orders/acme/5f0c5a1e-97d9-4b3f-9d6d-8f2f5d2f9a41": ("/api/v1/orders/{tenant}/{key}", 200),
    "/raw/a/b": ("/raw/{path}", 200),
    "/inner/things/7": ("/inner/things/{number}/", 200),
    "/nope": ("__unmatched__", 404),
}


def test_every_kind_of_route_has_its_template() -> None:
    """Routers and controllers are part of it; so is a mount, and what is routed below."""
    named_as(service(), ROUTES)
    assert names(service(), post("/users/7")) == [("__unmatched__", 405)]


def test_a_websocket_has_a_route_too() -> None:
    """By the same name as a request's."""
    assert names(service(), websocket("/chat/tea")) == [("/chat/{room}", 101)]
    ((route, _),) = names(service(), websocket("/nope"))
    assert route == "__unmatched__"


@pytest.mark.parametrize("framework", [Starlette, FastAPI])
def test_litestar_in_a_mount(framework: Any) -> None:
    """The mount is part of the name."""
    app = framework(routes=[Mount("/t/{tenant}", app=service())])
    assert names(app, "/t/acme/users/7", "/t/acme/nope", "/nope") == [
        ("/t/{tenant}/users/{pk}", 200),
        ("/t/{tenant}/{__unmatched__}", 404),
        ("__unmatched__", 404),
    ]


def test_a_copy_of_the_scope_keeps_its_route_to_itself() -> None:
    """Litestar leaves the template in the copy: docs/frameworks.md says so."""
    assert names(Copying(service()), "/users/7") == [("__unmatched__", 200)]


def test_the_names_are_those_of_the_known_series() -> None:
    """The series that are at zero from the start are the ones that count later."""
    from divan_obs_asgi.connection.routes import declared_routes

    declared = {route.template for route in declared_routes(service())}
    assert {"/", "/users/{pk}", "/files/{rest}", "/f", "/api/v1/orders/{tenant}/{key}"} <= declared
