"""The routes of FastAPI: prefixes of included routers and mounted applications are part of the name."""

from __future__ import annotations

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.websockets import WebSocket
from starlette.routing import Mount, Route, Router

from divan_obs_asgi.connection.routes import declared_routes
from divan_obs_asgi.testing import http_scope, websocket_scope
from tests.connection.routes.test_templates import Copies, ok, raw, routes_of


def service() -> FastAPI:
    """A service whose routes stand in every kind of nesting."""
    inner = APIRouter(prefix="/inner")

    @inner.get("/items/{number}")
    async def item(number: int) -> int:
        return number

    outer = APIRouter(prefix="/outer")
    outer.include_router(inner)
    outer.include_router(inner, prefix="/{tenant}")

    @outer.websocket("/chat/{room}")
    async def chat(websocket: WebSocket, room: str) -> None:
        await websocket.accept()
        await websocket.close()

    app = FastAPI(title="A service")
    app.include_router(inner)
    app.include_router(outer, prefix="/api")

    @app.get("/users/{user}")
    async def user(user: str) -> str:
        return user

    return app


NAMES = {
    "/users/ann": ("/users/{user}", 200),
    "/inner/items/7": ("/inner/items/{number}", 200),
    "/api/outer/inner/items/7": ("/api/outer/inner/items/{number}", 200),
    "/api/outer/acme/inner/items/7": ("/api/outer/{tenant}/inner/items/{number}", 200),
    # A parameter of the wrong type is found, and refused.
    "/inner/items/seven": ("/inner/items/{number}", 422),
    "/inner/nope": ("__unmatched__", 404),
    "/nope": ("__unmatched__", 404),
    "/docs": ("/docs", 200),
    "/openapi.json": ("/openapi.json", 200),
}


def test_prefixes_of_included_routers_are_part_of_the_name() -> None:
    """At any depth; FastAPI's own `scope["route"].path` does not know them."""
    assert routes_of(service(), *map(http_scope, NAMES)) == list(NAMES.values())


def test_a_refused_method_keeps_its_route() -> None:
    """405 says that the path is known, and so does the name."""
    scope = http_scope("/api/outer/inner/items/7", method="DELETE")
    assert routes_of(service(), scope) == [("/api/outer/inner/items/{number}", 405)]


def test_a_websocket_of_an_included_router() -> None:
    """The prefixes count for WebSockets too."""
    assert routes_of(service(), websocket_scope("/api/outer/chat/blue")) == [("/api/outer/chat/{room}", 101)]


def test_a_mounted_fastapi_application() -> None:
    """Its included routers, its own mounts and what it does not find."""
    sub = service()
    sub.mount("/files", raw)
    app = FastAPI()
    app.mount("/sub", sub)
    app.mount("/t/{tenant}", service())
    found = {
        "/sub/users/ann": ("/sub/users/{user}", 200),
        "/sub/api/outer/inner/items/7": ("/sub/api/outer/inner/items/{number}", 200),
        "/sub/nope": ("/sub/{__unmatched__}", 404),
        "/sub/files/a.css": ("/sub/files/{path}", 200),
        "/t/acme/api/outer/inner/items/7": ("/t/{tenant}/api/outer/inner/items/{number}", 200),
        "/t/acme/nope": ("/t/{tenant}/{__unmatched__}", 404),
    }
    assert routes_of(app, *map(http_scope, found)) == list(found.values())


def test_a_mount_in_an_included_router() -> None:
    """FastAPI serves it below the prefix of the inclusion, and so is it named."""
    router = APIRouter()
    router.mount("/m", Router([Route("/users/{id}", ok)]))
    router.mount("/files", raw)
    app = FastAPI()
    app.include_router(router, prefix="/api")
    app.include_router(router, prefix="/t/{tenant}")
    found = {
        "/api/m/users/7": ("/api/m/users/{id}", 200),
        "/api/m/nope": ("/api/m/{__unmatched__}", 404),
        "/api/files/a.css": ("/api/files/{path}", 200),
        "/t/acme/m/users/7": ("/t/{tenant}/m/users/{id}", 200),
        "/t/acme/files/a.css": ("/t/{tenant}/files/{path}", 200),
    }
    assert routes_of(app, *map(http_scope, found)) == list(found.values())


def test_a_starlette_router_mounted_beside_included_ones() -> None:
    """A mounted route is not taken for the included one that has the same path."""
    app = service()
    app.router.routes.append(Mount("/plain", routes=[Route("/users/{user}", ok)]))
    assert routes_of(app, http_scope("/plain/users/ann")) == [("/plain/users/{user}", 200)]


def test_what_is_declared_is_what_is_told() -> None:
    """The series of a route are at zero under the very name that its requests have."""
    app = service()
    app.mount("/sub", service())
    declared = {route.template for route in declared_routes(app)}
    names = [name for name, _ in NAMES.values() if name != "__unmatched__"]
    assert declared >= {*names, "/api/outer/chat/{room}", *(f"/sub{name}" for name in names)}


@pytest.mark.parametrize("path", [path for path in NAMES if "seven" not in path])
def test_routing_on_a_copy_of_the_scope(path: str) -> None:
    """What FastAPI left in a copy is found by matching again."""
    assert routes_of(Copies(service()), http_scope(path)) == [NAMES[path]]


def test_the_servers_root_path_is_left_out() -> None:
    """A route has one name in every deployment."""
    app = FastAPI()
    app.mount("/sub", service())
    app.include_router(service().router, prefix="/here")
    found = {
        "/here/users/ann": ("/here/users/{user}", 200),
        "/sub/users/ann": ("/sub/users/{user}", 200),
        "/sub/api/outer/inner/items/7": ("/sub/api/outer/inner/items/{number}", 200),
        "/sub/nope": ("/sub/{__unmatched__}", 404),
    }
    scopes = [{**http_scope(f"/behind{path}"), "root_path": "/behind"} for path in found]
    assert routes_of(app, *scopes) == list(found.values())
