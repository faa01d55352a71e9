"""The routes of Falcon: templates with converters, suffixes, WebSockets; sinks have none."""

from __future__ import annotations

from typing import Any

import falcon
import falcon.asgi
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.connection.routes.naming import Copying, named_as, names, post, websocket


class Page:
    async def on_get(self, request: Any, response: Any, **values: Any) -> None:
        response.text = "ok"

    async def on_get_list(self, request: Any, response: Any) -> None:
        response.text = "ok"

    async def on_websocket(self, request: Any, socket: Any, **values: Any) -> None:
        await socket.accept()
        await socket.close()


class Missing:
    async def on_get(self, request: Any, response: Any, pk: int) -> None:
        raise falcon.HTTPNotFound


class Refuses:
    """Refuses at the resource, as many middlewares for authentication do."""

    async def process_resource(self, request: Any, response: Any, resource: Any, params: Any) -> None:
        if request.get_param("refuse"):
            raise falcon.HTTPUnauthorized


async def sink(request: Any, response: Any) -> None:
    response.text = "ok"


def service() -> Any:
    app: Any = falcon.asgi.App(middleware=[Refuses()], cors_enable=True)
    app.add_route("/", Page())
    app.add_route("/users", Page(), suffix="list")
    app.add_route("/users/{pk:int(min=1)}", Page())
    app.add_route("/days/{day:dt('%Y-%m-%d')}", Page())
    app.add_route("/repos/{org}/{repo}/compare/{one}...{other}", Page())
    app.add_route("/files/{rest:path}", Page())
    app.add_route("/missing/{pk}", Missing())
    app.add_sink(sink, "/sink/")
    return app


ROUTES = {
    "/": ("/", 200),
    "/users": ("/users", 200),
    "/users/7": ("/users/{pk}", 200),
    "/users/nobody": ("__unmatched__", 404),
    "/days/2026-11-29": ("/days/{day}", 200),
    "/repos/a/b/compare/c...d": ("/repos/{org}/{repo}/compare/{one}...{other}", 200),
    "/files/a/b": ("/files/{rest}", 200),
    "/missing/7": ("/missing/{pk}", 404),
    "/sink/a": ("__unmatched__", 200),
    "/nope": ("__unmatched__", 404),
}


def test_every_kind_of_template_is_found() -> None:
    """Converters and their arguments are no part of it; a sink is not a route of Falcon's."""
    named_as(service(), ROUTES)


def test_what_is_refused_keeps_its_route() -> None:
    """A method, and a client."""
    from divan_obs_asgi.testing import http_scope

    refused = {**http_scope("/users/7"), "query_string": b"refuse=1"}
    assert names(service(), post("/users/7"), refused) == [("/users/{pk}", 405), ("/users/{pk}", 401)]


def test_a_websocket_has_a_route_too() -> None:
    """By the same name as a request's."""
    assert names(service(), websocket("/users/7"), websocket("/nope")) == [
        ("/users/{pk}", 101),
        ("__unmatched__", 403),
    ]


@pytest.mark.parametrize("framework", [Starlette, FastAPI])
def test_falcon_in_a_mount(framework: Any) -> None:
    """Falcon matches the whole path; its templates have the mount in them already."""
    inner: Any = falcon.asgi.App()
    inner.add_route("/t/{tenant}/users/{pk:int}", Page())
    app = framework(routes=[Mount("/t/{tenant}", app=inner)])
    assert names(app, "/t/acme/users/7", "/nope") == [("/t/{tenant}/users/{pk}", 200), ("__unmatched__", 404)]


def test_a_copy_of_the_scope_changes_nothing() -> None:
    """The record is found in each of them; two stacks add one middleware."""
    app = service()
    assert names(Copying(app), "/users/7", "/users/7") == [("/users/{pk}", 200), ("/users/{pk}", 200)]
    assert len([one for one in app._unprepared_middleware if "divan" in type(one).__module__]) == 1


def test_a_request_is_not_kept_by_its_record() -> None:
    """What an adapter has noted goes with the call."""
    import anyio

    from divan_obs_asgi.testing import converse, http_scope
    from tests.connection.routes.test_templates import Seen

    seen = Seen(service())
    anyio.run(converse, seen, http_scope("/users/7"), [{"type": "http.request", "body": b"", "more_body": False}])
    assert seen.records[0].route == "/users/{pk}"
    assert seen.records[0].matched is None
