"""The routes of Django: paths, expressions, includes, languages, class-based views, mounted and behind Channels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import django
import pytest
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.conf import settings
from django.conf.urls.i18n import i18n_patterns
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.handlers.asgi import ASGIHandler
from django.http import Http404, HttpRequest, HttpResponse
from django.test.utils import override_settings
from django.urls import include, path, re_path
from django.views import View
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from divan_obs_asgi.connection.routes.notation import from_django
from divan_obs_asgi.types import Receive, Scope, Send
from tests.connection.routes.naming import Copying, named_as, names, post, websocket

if not settings.configured:
    settings.configure(SECRET_KEY="x", ALLOWED_HOSTS=["*"])
django.setup()


def page(request: HttpRequest, **values: Any) -> HttpResponse:
    return HttpResponse("ok")


async def async_page(request: HttpRequest, **values: Any) -> HttpResponse:
    return HttpResponse("ok")


def missing(request: HttpRequest, pk: int) -> HttpResponse:
    raise Http404


class Order(View):  # type: ignore[misc]
    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        return HttpResponse("ok")


ITEMS = [path("", page), path("<slug:name>/", page), re_path(r"^(?P<year>[0-9]{4})/(?:(?P<month>\d{2})/)?$", page)]
URLS = (
    path("", page),
    path("users/<int:pk>/", page),
    path("async/<uuid:key>", async_page),
    path("orders/<int:pk>", Order.as_view()),
    path("missing/<int:pk>", missing),
    path("sitemap.xml", page),
    path("shop/<str:tenant>/", include(ITEMS)),
    re_path(r"^archive/(?P<year>(?:19|20)\d\d)/(\w+)/$", page),
    re_path(r"^old/", include([re_path(r"^(?P<slug>[-\w]+)\.html$", page)])),
    *i18n_patterns(path("about/<slug:name>/", page), prefix_default_language=False),
)
ROUTES = {
    "/": ("/", 200),
    "/users/7/": ("/users/{pk}/", 200),
    "/users/nobody/": ("__unmatched__", 404),
    "/async/5f0c5a1e-97d9-4b3f-9d6d-8f2f5d2f9a41": ("/async/{key}", 200),
    "/orders/7": ("/orders/{pk}", 200),
    "/missing/7": ("/missing/{pk}", 404),
    "/sitemap.xml": ("/sitemap.xml", 200),
    "/shop/acme/": ("/shop/{tenant}/", 200),
    "/shop/acme/shoes/": ("/shop/{tenant}/{name}/", 200),
    "/archive/1999/spring/": ("/archive/{year}/{var}/", 200),
    "/old/a-page.html": ("/old/{slug}.html", 200),
    "/about/us/": ("/about/{name}/", 200),
    "/de/about/us/": ("/{language}/about/{name}/", 200),
    "/nope": ("__unmatched__", 404),
    "/wp-login.php": ("__unmatched__", 404),
}


@pytest.fixture(autouse=True)
def _configured() -> Iterator[None]:
    middleware = ["django.middleware.locale.LocaleMiddleware"]
    with override_settings(ROOT_URLCONF=URLS, MIDDLEWARE=middleware, USE_I18N=True, LANGUAGE_CODE="en"):
        yield


async def answering(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close"})


def with_sockets() -> Any:
    rooms = URLRouter([path("<int:room>/", answering), re_path(r"^old/(?P<room>\w+)/$", answering)])
    sockets = URLRouter([path("ws/", rooms), path("news/<str:topic>", answering)])
    http = URLRouter([path("sse/<int:pk>", page_by_asgi), re_path(r"", ASGIHandler())])
    return ProtocolTypeRouter({"http": http, "websocket": AllowedHostsOriginValidator(sockets)})


async def page_by_asgi(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def dispatcher(scope: Scope, receive: Receive, send: Send) -> None:
    """As tutorials write it."""
    await (_django if scope["type"] == "http" else _sockets)(scope, receive, send)


def test_every_kind_of_pattern_has_its_template() -> None:
    """Converters and expressions are written alike; a 404 of the view's own is not one of the router's."""
    named_as(ASGIHandler(), ROUTES)


def test_a_method_that_a_class_based_view_refuses_keeps_its_route() -> None:
    """The view answers it."""
    assert names(ASGIHandler(), post("/orders/7")) == [("/orders/{pk}", 405)]


def test_every_language_is_one_route() -> None:
    """A client chooses among a hundred languages."""
    assert set(names(ASGIHandler(), "/de/about/us/", "/fr/about/us/", "/pt-br/about/us/")) == {
        ("/{language}/about/{name}/", 200)
    }


def test_an_url_configuration_of_the_request_is_followed() -> None:
    """As django-hosts and others do it, by a middleware."""
    with override_settings(MIDDLEWARE=[f"{__name__}.other_urls"]):
        assert names(ASGIHandler(), "/tenants/7") == [("/tenants/{pk}", 200)]


def other_urls(get_response: Any) -> Any:
    def middleware(request: Any) -> Any:
        request.urlconf = (path("tenants/<int:pk>", page),)
        return get_response(request)

    return middleware


@pytest.mark.parametrize("wrap", [Copying, ASGIStaticFilesHandler], ids=lambda wrap: wrap.__name__)
def test_around_django_may_stand_anything(wrap: Any) -> None:
    """A copy of the scope, a wrapper of an unknown kind."""
    with override_settings(STATIC_URL="/static/"):
        assert names(wrap(ASGIHandler()), "/users/7/", "/nope") == [("/users/{pk}/", 200), ("__unmatched__", 404)]


@pytest.mark.parametrize("framework", [Starlette, FastAPI])
def test_django_in_a_mount(framework: Any) -> None:
    """The mount is part of the name, and what Django does not find is below it."""
    app = framework(routes=[Mount("/t/{tenant}", app=ASGIHandler())])
    assert names(app, "/t/acme/users/7/", "/t/acme/nope", "/nope") == [
        ("/t/{tenant}/users/{pk}/", 200),
        ("/t/{tenant}/{path}", 404),
        ("__unmatched__", 404),
    ]


def test_channels_routes_have_their_templates() -> None:
    """Routers in routers, of both protocols, and Django behind a pattern for all the rest."""
    found = names(
        with_sockets(),
        websocket("/ws/7/"),
        websocket("/ws/old/tea/"),
        websocket("/news/tea"),
        websocket("/nope"),
        "/sse/7",
        "/users/7/",
        "/nope",
    )
    assert [route for route, _ in found] == [
        "/ws/{room}/",
        "/ws/old/{room}/",
        "/news/{topic}",
        "__unmatched__",
        "/sse/{pk}",
        "/users/{pk}/",
        "__unmatched__",
    ]


def test_a_dispatcher_by_hand_is_looked_through() -> None:
    """What a function names is found."""
    assert names(dispatcher, "/users/7/", websocket("/news/tea")) == [("/users/{pk}/", 200), ("/news/{topic}", 101)]


_django = ASGIHandler()
_sockets = URLRouter([path("news/<str:topic>", answering)])


@pytest.mark.parametrize(
    ("pattern", "template"),
    [
        (r"^articles/(?P<year>[0-9]{4})/$", "articles/{year}/"),
        (r"^a/(?P<b>[^/()]+(?:x(y))?)/?\Z", "a/{b}/"),
        (r"^files/(?P<name>.*\.(?:png|jpg))$", "files/{name}"),
        (r"^v(\d+)/[a-z]+/\w{2,}$", "v{var}/{var}/{var}"),
        (r"(?i)^any/.*$", "any/{var}"),
        (r"^(?!api).*$", "{var}"),
        (r"^(?:en|de)/x\-y/$", "{var}/x-y/"),
        ("a/<int:pk>/b/<slug:name>.html", "a/{pk}/b/{name}.html"),
        ("<pk>", "{pk}"),
        (r"^(?P<unclosed>[a-z", "{unclosed}"),
    ],
)
def test_expressions_become_templates(pattern: str, template: str) -> None:
    """What has a name keeps it; nothing of the rest is left."""
    assert from_django(pattern) == template
