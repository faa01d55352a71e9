"""The routes of Quart: rules, blueprints, class-based views and WebSockets."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from quart import Blueprint, Quart, abort, websocket
from quart.views import MethodView
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.connection.routes.naming import Copying, named_as, names, post
from tests.connection.routes.naming import websocket as to_websocket


class Order(MethodView):
    async def get(self, pk: int) -> str:
        return "ok"


def service() -> Any:
    app = Quart("service")
    outer, inner = Blueprint("outer", "outer", url_prefix="/shop/<tenant>"), Blueprint("inner", "inner")

    @app.get("/")
    async def home() -> str:
        return "ok"

    @app.get("/users/<int:pk>")
    def user(pk: int) -> str:
        return "ok"

    @app.get("/missing/<int(min=1):pk>/")
    async def missing(pk: int) -> str:
        abort(404)

    @app.get("/files/<path:rest>")
    async def files(rest: str) -> str:
        return "ok"

    @app.get("/kinds/<any(a, b):kind>")
    async def kinds(kind: str) -> str:
        return "ok"

    @inner.get("/<string(length=2):lang>/items/<uuid:key>")
    async def item(**values: Any) -> str:
        return "ok"

    @app.before_request
    async def refuse() -> Any:
        from quart import request

        return ("no", 401) if request.args.get("refuse") else None

    @app.websocket("/chat/<room>")
    async def chat(room: str) -> None:
        await websocket.accept()

    app.add_url_rule("/orders/<int:pk>", view_func=Order.as_view("order"))
    outer.register_blueprint(inner, url_prefix="/v1")
    app.register_blueprint(outer)
    return app


ROUTES = {
    "/": ("/", 200),
    "/users/7": ("/users/{pk}", 200),
    "/users/nobody": ("__unmatched__", 404),
    "/missing/7/": ("/missing/{pk}/", 404),
    "/missing/7": ("__unmatched__", 308),
    "/files/a/b": ("/files/{rest}", 200),
    "/kinds/a": ("/kinds/{kind}", 200),
    "/shop/acme/v1/en/items/5f0c5a1e-97d9-4b3f-9d6d-8f2f5d2f9a41": ("/shop/{tenant}/v1/{lang}/items/{key}", 200),
    "/orders/7": ("/orders/{pk}", 200),
    "/nope": ("__unmatched__", 404),
}


def test_every_kind_of_rule_has_its_template() -> None:
    """Converters with arguments, too; blueprints in blueprints are part of it."""
    named_as(service(), ROUTES)
    assert names(service(), post("/users/7")) == [("__unmatched__", 405)]


def test_what_answers_before_the_view_keeps_the_route() -> None:
    """`before_request` is called when the rule is known."""
    from divan_obs_asgi.testing import http_scope

    scope = {**http_scope("/users/7"), "query_string": b"refuse=1"}
    assert names(service(), scope) == [("/users/{pk}", 401)]


def test_a_websocket_has_a_route_too() -> None:
    """By the same name as a request's."""
    ((route, _), (none, _)) = names(service(), to_websocket("/chat/tea"), to_websocket("/nope"))
    assert (route, none) == ("/chat/{room}", "__unmatched__")


@pytest.mark.parametrize("framework", [Starlette, FastAPI])
def test_quart_in_a_mount(framework: Any) -> None:
    """The mount is part of the name."""
    app = framework(routes=[Mount("/t/{tenant}", app=service())])
    assert names(app, "/t/acme/users/7", "/t/acme/nope", "/nope") == [
        ("/t/{tenant}/users/{pk}", 200),
        ("/t/{tenant}/{path}", 404),
        ("__unmatched__", 404),
    ]


def test_a_copy_of_the_scope_changes_nothing() -> None:
    """The record is found in each of them."""
    assert names(Copying(service()), "/users/7") == [("/users/{pk}", 200)]
