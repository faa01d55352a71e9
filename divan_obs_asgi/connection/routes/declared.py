"""The routes that an application declares, read before any request."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from divan_obs_asgi.connection.routes.starlette import MAX_WRAPPERS, mount_template, path_of, routes_below

_MAX_MOUNTS = 16
_OF_AN_ENDPOINT = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@dataclass(frozen=True, slots=True)
class DeclaredRoute:
    """
    A route of a framework's table.

    Attributes:
        methods: the allowed methods, without the HEAD that belongs to GET; empty for a WebSocket.
        status: the status of a success.
    """

    template: str
    methods: tuple[str, ...]
    status: int = 200


def declared_routes(app: object) -> Iterator[DeclaredRoute]:
    """Yield the routes of the framework that `app` wraps, under the names that `RouteTemplates` gives them."""
    yield from _declared(routes_below(app), "", _MAX_MOUNTS)


@dataclass(frozen=True, slots=True)
class HttpPath:
    """
    A path at which an application serves HTTP.

    Attributes:
        takes_all_below: whether another application is mounted there whose routes cannot be listed.
    """

    template: str
    takes_all_below: bool = False


def http_paths(app: object) -> Iterator[HttpPath]:
    """Yield the paths of the framework that `app` wraps; none for an unknown framework."""
    yield from _http_paths(routes_below(app), "", _MAX_MOUNTS)
    for wrapped in _wrapped(app):
        yield from (HttpPath(_in_braces(rule)) for rule in _werkzeug_rules(wrapped))
        handlers = sys.modules.get("django.core.handlers.asgi")
        if handlers is not None and isinstance(wrapped, handlers.ASGIHandler):
            resolver = import_module("django.urls").get_resolver()
            yield from (HttpPath(path) for path in _django_paths(resolver.url_patterns, "/", _MAX_MOUNTS))


def _declared(routes: Iterable[Any], prefix: str, depth: int) -> Iterator[DeclaredRoute]:
    for route in routes:
        if hasattr(route, "routes"):
            if depth:
                # starlette.routing.Host does not consume a part of the path.
                mount = mount_template(route) if hasattr(route, "path_regex") else ""
                yield from _declared(routes_below(route), prefix + mount, depth - 1)
            continue
        path = path_of(route)
        if path is None:
            continue
        if not hasattr(route, "methods"):
            yield DeclaredRoute(prefix + path, ())
        elif methods := _methods_of(route):
            yield DeclaredRoute(prefix + path, methods, getattr(route, "status_code", None) or 200)


def _http_paths(routes: Iterable[Any], prefix: str, depth: int) -> Iterator[HttpPath]:
    for route in routes:
        if hasattr(route, "routes"):
            # starlette.routing.Host does not consume a part of the path.
            mount = prefix + (mount_template(route) if hasattr(route, "path_regex") else "")
            below = list(routes_below(route)) if depth else []
            yield HttpPath(mount, takes_all_below=not below)
            yield from _http_paths(below, mount, depth - 1)
            continue
        path = path_of(route)
        # Routes of WebSockets are skipped; Litestar's mounts have no methods either.
        if path is not None and (hasattr(route, "methods") or "WebSocket" not in type(route).__name__):
            is_mount = bool(getattr(getattr(route, "route_handler", None), "is_mount", False))
            yield HttpPath(prefix + path, takes_all_below=is_mount)


def _wrapped(app: object) -> Iterator[object]:
    """Yield an application, and what it wraps."""
    for _ in range(MAX_WRAPPERS):
        if app is None:
            return
        yield app
        app = getattr(app, "app", None) or getattr(app, "other_asgi_app", None)


def _werkzeug_rules(app: object) -> list[str]:
    """Return the rules of Quart."""
    list_them = getattr(getattr(app, "url_map", None), "iter_rules", None)
    return [] if list_them is None else [rule.rule for rule in list_them() if not getattr(rule, "websocket", False)]


def _django_paths(patterns: Iterable[Any], prefix: str, depth: int) -> Iterator[str]:
    for pattern in patterns:
        text = str(pattern.pattern)
        if hasattr(pattern.pattern, "_regex"):
            text = text.removeprefix("^").removesuffix("$").removesuffix(r"\Z")
            if re.escape(text.replace("/", "")) != text.replace("/", ""):
                continue  # A regular expression: its paths are not known.
        path = prefix + _in_braces(text)
        if not hasattr(pattern, "url_patterns"):
            yield path
        elif depth:
            yield from _django_paths(pattern.url_patterns, path, depth - 1)


def _in_braces(rule: str) -> str:
    """Return `/rooms/<int:id>` as `/rooms/{int:id}`."""
    return rule.replace("<", "{").replace(">", "}")


def _methods_of(route: Any) -> tuple[str, ...]:
    methods = route.methods
    if methods is None:
        # starlette.endpoints.HTTPEndpoint has a function per method; another ASGI application does not declare any.
        endpoint = getattr(route, "endpoint", None)
        methods = [method for method in _OF_AN_ENDPOINT if callable(getattr(endpoint, method.lower(), None))]
    return tuple(sorted(method for method in methods if method != "HEAD" or "GET" not in methods))


__all__ = ["DeclaredRoute", "HttpPath", "declared_routes", "http_paths"]
