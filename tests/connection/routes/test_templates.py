"""Which route a connection is counted under: the template that the framework matched, never what the client typed."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Host, Match, Mount, Route, Router, WebSocketRoute
from starlette.websockets import WebSocket

from divan_obs_asgi import RecordMiddleware, RequestRecord, build_stack
from divan_obs_asgi.connection.routes import ROUTE_KEY
from divan_obs_asgi.testing import converse, http_scope, websocket_scope
from divan_obs_asgi.types import ASGIApp, Receive, Scope, Send
from tests.stacks import Observed


class Seen(RecordMiddleware):
    """Keeps the records that went through."""

    component = "seen"

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app, Observed().obs)
        self.records: list[RequestRecord] = []

    def observe(self, scope: Scope, record: RequestRecord) -> None:
        self.records.append(record)


def routes_of(app: ASGIApp, *scopes: Scope) -> list[tuple[str, int]]:
    """Return route and status of each connection, all to one and the same stack."""
    seen = Seen(app)

    async def connect() -> None:
        for scope in scopes:
            await converse(seen, scope, [{"type": "websocket.connect"}])

    anyio.run(connect)
    return [(record.route, record.status) for record in seen.records]


async def ok(request: Request) -> Response:
    return PlainTextResponse("ok")


async def raw(scope: Scope, receive: Receive, send: Send) -> None:
    """An application without a route table, static files for example."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


class Copies:
    """A middleware that hands a copy of the scope on, as those do that rewrite paths."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(dict(scope), receive, send)


TENANT = st.characters(exclude_characters="/", exclude_categories=["Cs"])
USERS = [Route("/users", ok, methods=["GET", "POST"]), Route("/users/{id:int}", ok)]


def test_a_route_is_named_by_its_template() -> None:
    """One name for all users; the type of a parameter is no part of it."""
    app = Starlette(routes=USERS)
    assert routes_of(app, http_scope("/users"), http_scope("/users/7"), http_scope("/users/8")) == [
        ("/users", 200),
        ("/users/{id}", 200),
        ("/users/{id}", 200),
    ]


@pytest.mark.parametrize("path", ["/nope", "/users/nobody", "/wp-login.php", "/users/7/", "/\udcff", "//users"])
def test_what_no_route_matches_has_one_name(path: str) -> None:
    """A scanner's paths make no series; the redirect of a superfluous slash is no route either."""
    ((route, status),) = routes_of(Starlette(routes=USERS), http_scope(path))
    assert route == "__unmatched__"
    assert status in (404, 307)


def test_a_refused_method_keeps_its_route() -> None:
    """405 says that the path is known, and so does the name."""
    assert routes_of(Starlette(routes=USERS), http_scope("/users/7", method="DELETE")) == [("/users/{id}", 405)]


def test_a_mount_is_part_of_the_name() -> None:
    """Also where mounts stand in mounts."""
    app = Starlette(routes=[Mount("/api", routes=[*USERS, Mount("/v2", routes=USERS)])])
    assert routes_of(app, http_scope("/api/users/7"), http_scope("/api/v2/users/7")) == [
        ("/api/users/{id}", 200),
        ("/api/v2/users/{id}", 200),
    ]


def test_the_value_in_a_mount_is_not_told() -> None:
    """The name of a tenant is as much the client's choice as the id of a user."""
    app = Starlette(routes=[Mount("/t/{tenant}", routes=[*USERS, Mount("/{space}", routes=USERS)])])
    paths = ("/t/acme/users/7", "/t/{tenant}/users/7", "/t/acme/home/users/7", "/t/acme", "/t/acme/home/nope")
    assert routes_of(app, *map(http_scope, paths)) == [
        ("/t/{tenant}/users/{id}", 200),
        ("/t/{tenant}/users/{id}", 200),
        ("/t/{tenant}/{space}/users/{id}", 200),
        ("__unmatched__", 307),
        ("/t/{tenant}/{space}/{__unmatched__}", 404),
    ]


@pytest.mark.slow
@given(st.lists(st.text(TENANT, min_size=1, max_size=8), min_size=2, max_size=5))
def test_no_value_of_a_mount_is_ever_told(tenants: list[str]) -> None:
    """Whoever asks, and whoever has asked before, there is one name."""
    app = Starlette(routes=[Mount("/t/{tenant}", routes=USERS)])
    found = routes_of(app, *(http_scope(f"/t/{tenant}/users/7") for tenant in tenants))
    assert set(found) == {("/t/{tenant}/users/{id}", 200)}


def test_a_tenant_that_is_called_like_a_literal_mount_changes_nothing() -> None:
    """The first route that matches is the name, as it is the one that answers."""
    app = Starlette(routes=[Mount("/admin", routes=USERS), Mount("/{tenant}", routes=USERS)])
    assert routes_of(app, *map(http_scope, ("/admin/users", "/acme/users", "/admin/users", "/admin/nope"))) == [
        ("/admin/users", 200),
        ("/{tenant}/users", 200),
        ("/admin/users", 200),
        ("/admin/{__unmatched__}", 404),
    ]


def test_the_type_of_a_mounts_parameter_is_no_part_of_the_name() -> None:
    """Mounts are named as routes are."""
    app = Starlette(routes=[Mount("/t/{tenant:int}", routes=USERS)])
    assert routes_of(app, http_scope("/t/5/users/7")) == [("/t/{tenant}/users/{id}", 200)]


def test_nothing_found_below_a_mount() -> None:
    """The mount is known, the rest is the client's."""
    app = Starlette(routes=[Mount("/m", routes=[*USERS, Mount("/n", routes=USERS)])])
    assert routes_of(app, http_scope("/m/nope"), http_scope("/m/n/nope"), http_scope("/m/")) == [
        ("/m/{__unmatched__}", 404),
        ("/m/n/{__unmatched__}", 404),
        ("/m/{__unmatched__}", 404),
    ]


def test_a_mounted_application_without_routes() -> None:
    """Files below a folder are one route."""
    app = Starlette(routes=[Mount("/static", raw), Mount("/t/{tenant}/files", raw)])
    assert routes_of(app, http_scope("/static/a/b.css"), http_scope("/static/c"), http_scope("/t/acme/files/x")) == [
        ("/static/{path}", 200),
        ("/static/{path}", 200),
        ("/t/{tenant}/files/{path}", 200),
    ]


def test_a_mounted_starlette_application() -> None:
    """A whole application in a mount, with its own middlewares, is named like any other mount."""
    inner = Starlette(routes=USERS, middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["*"])])
    app = Starlette(routes=[Mount("/inner", inner)])
    assert routes_of(app, http_scope("/inner/users/7"), http_scope("/inner/nope")) == [
        ("/inner/users/{id}", 200),
        ("/inner/{__unmatched__}", 404),
    ]


def test_a_host_is_no_part_of_the_name() -> None:
    """The header is the client's to choose."""
    app = Starlette(routes=[Host("{org}.example.org", Router([*USERS, Mount("/v1/{area}", routes=USERS)]))])
    headers = [(b"host", b"acme.example.org")]
    paths = ("/users/7", "/v1/eu/users")
    assert routes_of(app, *(http_scope(path, headers=headers) for path in paths), http_scope("/users/7")) == [
        ("/users/{id}", 200),
        ("/v1/{area}/users", 200),
        ("__unmatched__", 404),
    ]


def test_the_mounts_of_another_host_do_not_count() -> None:
    """Only what answered gives the name."""
    other = Router([Mount("/{tenant}", routes=USERS)])
    app = Starlette(routes=[Host("api.example.org", other), Mount("/admin", routes=USERS)])
    api = http_scope("/admin/users", headers=[(b"host", b"api.example.org")])
    assert routes_of(app, http_scope("/admin/users"), api) == [("/admin/users", 200), ("/{tenant}/users", 200)]


def test_an_answer_before_routing_has_the_name_of_the_route_that_was_meant() -> None:
    """A login wall answers 401 for every route, and each of them shows it."""

    class Wall(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
            return PlainTextResponse("who are you?", 401)

    tenants = Mount("/t/{tenant}", routes=USERS)
    app = Starlette(routes=[*USERS, tenants, Mount("/static", raw)], middleware=[Middleware(Wall)])
    scopes = [*map(http_scope, ("/users/7", "/t/acme/users/7", "/t/acme/nope", "/static/a", "/nope"))]
    assert routes_of(app, *scopes, http_scope("/users/7", method="DELETE")) == [
        ("/users/{id}", 401),
        ("/t/{tenant}/users/{id}", 401),
        ("/t/{tenant}/{__unmatched__}", 401),
        ("/static/{path}", 401),
        ("__unmatched__", 401),
        ("/users/{id}", 401),
    ]


def test_routing_on_a_copy_of_the_scope() -> None:
    """What the router left in a copy is found by matching again."""
    app = Copies(Starlette(routes=[*USERS, Mount("/t/{tenant}", routes=USERS)]))
    assert routes_of(app, *map(http_scope, ("/users/7", "/t/acme/users/7", "/t/acme/nope", "/nope"))) == [
        ("/users/{id}", 200),
        ("/t/{tenant}/users/{id}", 200),
        ("/t/{tenant}/{__unmatched__}", 404),
        ("__unmatched__", 404),
    ]


def test_routing_on_a_copy_of_the_scope_below_a_mount() -> None:
    """A mount's own middleware may copy the scope as well as any other."""
    app = Starlette(routes=[Mount("/t/{tenant}", routes=USERS, middleware=[Middleware(Copies)])])
    assert routes_of(app, http_scope("/t/acme/users/7"), http_scope("/t/acme/nope")) == [
        ("/t/{tenant}/users/{id}", 200),
        ("/t/{tenant}/{__unmatched__}", 404),
    ]


@pytest.mark.parametrize("copies", [False, True])
def test_the_servers_root_path_is_left_out(copies: bool) -> None:
    """A route has one name in every deployment; the same service may stand below a proxy's prefix."""
    starlette = Starlette(routes=[*USERS, Mount("/t/{tenant}", routes=USERS), Mount("/m", routes=USERS)])
    app = Copies(starlette) if copies else starlette
    scopes = [
        {**http_scope(f"/behind/a/proxy{path}"), "root_path": "/behind/a/proxy"}
        for path in ("/users/7", "/t/acme/users/7", "/m/users", "/m/nope", "/nope")
    ]
    assert routes_of(app, *scopes) == [
        ("/users/{id}", 200),
        ("/t/{tenant}/users/{id}", 200),
        ("/m/users", 200),
        ("/m/{__unmatched__}", 404),
        ("__unmatched__", 404),
    ]


def test_a_websocket_has_a_route_too() -> None:
    """Named by template, in mounts as well."""

    async def chat(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    sockets = [WebSocketRoute("/rooms/{room}", chat)]
    app = Starlette(routes=[*sockets, Mount("/t/{tenant}", routes=sockets)])
    paths = ("/rooms/blue", "/t/acme/rooms/blue", "/nope")
    assert routes_of(app, *map(websocket_scope, paths)) == [
        ("/rooms/{room}", 101),
        ("/t/{tenant}/rooms/{room}", 101),
        ("__unmatched__", 403),
    ]


async def room(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close()


class Wall:
    """A middleware that answers in the application's place."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await raw(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})


@pytest.mark.parametrize("sockets_first", [False, True])
def test_a_page_and_a_websocket_may_have_one_path(sockets_first: bool) -> None:
    """Each is named by its own route, also where the router was not asked."""
    routes = [Route("/rooms/{name}", ok), WebSocketRoute("/rooms/{room}", room)]
    app = Wall(Starlette(routes=routes[::-1] if sockets_first else routes))
    assert routes_of(app, http_scope("/rooms/blue"), websocket_scope("/rooms/blue")) == [
        ("/rooms/{name}", 200),
        ("/rooms/{room}", 403),
    ]


def test_the_first_route_that_refuses_a_method_gives_the_name() -> None:
    """As with Starlette's router, where no later route takes the method."""
    routes = [Route("/{page}", ok), Route("/{form}", ok, methods=["POST"]), Route("/{file}", ok, methods=["PUT"])]
    for app in (Starlette(routes=routes), Wall(Starlette(routes=routes))):
        names = [route for route, _ in routes_of(app, *(http_scope("/a", method=m) for m in ("GET", "PUT", "DELETE")))]
        assert names == ["/{page}", "/{file}", "/{page}"]


def test_an_application_below_socketio_is_looked_through() -> None:
    """socketio.ASGIApp keeps the application that it wraps as `other_asgi_app`."""

    class Engine:
        def __init__(self, app: ASGIApp) -> None:
            self.other_asgi_app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await self.other_asgi_app(dict(scope), receive, send)

    assert routes_of(Engine(Starlette(routes=USERS)), http_scope("/users/7")) == [("/users/{id}", 200)]


def test_a_router_that_found_nothing_is_believed() -> None:
    """A route that matches by more than path and method (a header, a tenant) is not guessed at."""

    class OnTuesdays(Route):
        def matches(self, scope: Any) -> tuple[Match, Any]:
            return Match.NONE, {}

    app = Starlette(routes=[OnTuesdays("/market", ok)])
    assert routes_of(app, http_scope("/market")) == [("__unmatched__", 404)]


def test_an_application_that_routes_by_itself_says_what_it_matched() -> None:
    """Any framework can name its route, in one line."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope[ROUTE_KEY] = "/items/{number}"
        await raw(scope, receive, send)

    assert routes_of(app, http_scope("/items/7")) == [("/items/{number}", 200)]


def test_an_application_of_which_nothing_is_known() -> None:
    """A path is no name."""
    assert routes_of(raw, http_scope("/items/7")) == [("__unmatched__", 200)]


def test_a_declared_name_that_cannot_be_written_spoils_no_metrics() -> None:
    """An application that declares a raw path, with bytes that are no UTF-8, is still observed."""
    observed = Observed({"OBS_MIDDLEWARE": "divan_obs_asgi.middlewares.MetricsMiddleware"})

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope[ROUTE_KEY] = scope["path"]
        await raw(scope, receive, send)

    anyio.run(converse, build_stack(app, observed.obs), http_scope("/\udcff"))
    assert b"divan_http_requests_total" in observed.obs.metrics.render()


@pytest.mark.parametrize("broken", [42, object(), "routes"])
def test_a_strange_scope_is_no_failure(broken: object) -> None:
    """What other libraries leave under the names of a framework breaks nothing."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = broken
        scope["fastapi"] = broken
        await raw(scope, receive, send)

    assert routes_of(app, http_scope("/x")) == [("__unmatched__", 200)]
