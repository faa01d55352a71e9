"""The route template of a connection: what a framework matched, never what the client typed."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from divan_obs_asgi.types import Scope

UNMATCHED = "__unmatched__"
# An application that routes by itself, or on a copy of the scope, says here what it matched.
ROUTE_KEY = "divan_obs_asgi.route"

# How many wrappers to look through for a route table. Deeper stacks than this are loops.
_MAX_WRAPPERS = 64
_MAX_MOUNTS = 16
_OF_AN_ENDPOINT = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
# Where a mount cannot be named by its template; its path may be the client's choice.
_UNKNOWN_MOUNT = "/{mount}"


@dataclass(frozen=True, slots=True)
class DeclaredRoute:
    """
    A route of a framework's table.

    Attributes:
        methods: those that it answers; none of a WebSocket. HEAD, which goes with GET, is not among them.
        status: that of a success.
    """

    template: str
    methods: tuple[str, ...]
    status: int = 200


def declared_routes(app: object) -> Iterator[DeclaredRoute]:
    """Yield the routes of the framework that `app` wraps, under the names that `RouteTemplates` gives them."""
    yield from _declared(_routes_below(app), "", _MAX_MOUNTS)


@dataclass(frozen=True, slots=True)
class HttpPath:
    """
    A path at which an application answers HTTP.

    Attributes:
        takes_all_below: whether another application is mounted there whose routes cannot be listed.
    """

    template: str
    takes_all_below: bool = False


def http_paths(app: object) -> Iterator[HttpPath]:
    """Yield the paths of the framework that `app` wraps; none where it has no list of them that is known here."""
    yield from _http_paths(_routes_below(app), "", _MAX_MOUNTS)
    for wrapped in _wrapped(app):
        yield from (HttpPath(_in_braces(rule)) for rule in _werkzeug_rules(wrapped))
        handlers = sys.modules.get("django.core.handlers.asgi")
        if handlers is not None and isinstance(wrapped, handlers.ASGIHandler):
            resolver = import_module("django.urls").get_resolver()
            yield from (HttpPath(path) for path in _django_paths(resolver.url_patterns, "/", _MAX_MOUNTS))


class RouteTemplates:
    """
    Names the route of a finished connection, from what the frameworks leave in the scope.

    In this order: `scope["divan_obs_asgi.route"]`; FastAPI's effective route (the only place that knows an
    `include_router` prefix since 0.137); the mounts' templates + `scope["route"].path` (Starlette >= 1.10);
    a second match against the route table where the scope does not tell. The server's `root_path` is left
    out, so that a route has one name in every deployment.
    """

    def __init__(self, app: object) -> None:
        self._app = app

    def template(self, scope: Scope) -> str:
        """Return the template (`/m/users/{id}`), or "__unmatched__"."""
        declared = scope.get(ROUTE_KEY)
        if declared is not None:
            return str(declared)
        route = scope.get("route")
        if route is None:
            # A router that has looked and found nothing leaves itself and no endpoint. Without it: Starlette
            # before 1.10, routing on a copy of the scope, or an answer given before any routing.
            looked = "router" in scope and "endpoint" not in scope
            return UNMATCHED if looked else self._matched_again(scope)
        path = _path_of(route)
        included = scope.get("fastapi")
        if included is not None:
            effective = included.get("effective_route_context")
            # A router mounted below leaves it behind for a route that is not its own.
            if effective is not None and effective.original_route is route:
                path = effective.path_format
        if path is None:
            return self._matched_again(scope)
        prefix = self._mounted_at(scope) if "app_root_path" in scope else ""
        if hasattr(route, "routes"):
            # Starlette names a Mount where nothing below it matched, or matched on a copy of the scope.
            below = _match(_routes_below(route), scope["path"].removeprefix(scope["root_path"]), scope)
            return prefix + (below or _below_mount(route))
        return prefix + path

    def _matched_again(self, scope: Scope) -> str:
        path = scope["path"].removeprefix(_server_root(scope))
        return _match(_routes_below(self._app), path, scope) or UNMATCHED

    def _mounted_at(self, scope: Scope) -> str:
        """Return the templates of the mounts on the way to the matched route; the first one sets `app_root_path`."""
        root = _server_root(scope)
        taken = scope["root_path"][len(root) :]
        # A walk for each request below a mount: one Route object may stand below several mounts and hosts.
        template = _mounts_that_took(taken, scope["path"].removeprefix(root), _routes_below(self._app), scope)
        return template if template is not None else _UNKNOWN_MOUNT


def _server_root(scope: Scope) -> str:
    return str(scope.get("app_root_path", scope.get("root_path", "")))


def _path_of(route: object) -> str | None:
    path = getattr(route, "path_format", None) or getattr(route, "path", None)
    return path if isinstance(path, str) else None


def _mount_template(route: Any) -> str:
    """`/t/{tenant}` of a Mount at `/t/{tenant:int}`, whose `path_format` takes the rest as `{path}`."""
    return str(route.path_format).removesuffix("/{path}")


def _below_mount(route: Any) -> str:
    return f"/{{{UNMATCHED}}}" if route.routes else "/{path}"


def _routes_below(app: object) -> Iterable[Any]:
    """Return the route table of the framework that `app` wraps, through any number of middlewares."""
    for _ in range(_MAX_WRAPPERS):
        routes = getattr(app, "routes", None)
        if isinstance(routes, list):
            return _with_included(routes)
        # `other_asgi_app` is where socketio.ASGIApp keeps the application that it wraps.
        app = getattr(app, "app", None) or getattr(app, "other_asgi_app", None)
        if app is None:
            break
    return ()


def _with_included(routes: Iterable[Any]) -> Iterator[Any]:
    """Yield the routes, and those of FastAPI's included routers as they match: with their prefixes."""
    for route in routes:
        contexts = getattr(route, "effective_route_contexts", None)
        if contexts is None:
            yield route
        else:
            for context in contexts():
                yield context.starlette_route or context


def _declared(routes: Iterable[Any], prefix: str, depth: int) -> Iterator[DeclaredRoute]:
    for route in routes:
        if hasattr(route, "routes"):
            if depth:
                # starlette.routing.Host takes nothing of the path.
                mount = _mount_template(route) if hasattr(route, "path_regex") else ""
                yield from _declared(_routes_below(route), prefix + mount, depth - 1)
            continue
        path = _path_of(route)
        if path is None:
            continue
        if not hasattr(route, "methods"):
            yield DeclaredRoute(prefix + path, ())
        elif methods := _methods_of(route):
            yield DeclaredRoute(prefix + path, methods, getattr(route, "status_code", None) or 200)


def _http_paths(routes: Iterable[Any], prefix: str, depth: int) -> Iterator[HttpPath]:
    for route in routes:
        if hasattr(route, "routes"):
            # starlette.routing.Host takes nothing of the path.
            mount = prefix + (_mount_template(route) if hasattr(route, "path_regex") else "")
            below = list(_routes_below(route)) if depth else []
            yield HttpPath(mount, takes_all_below=not below)
            yield from _http_paths(below, mount, depth - 1)
            continue
        path = _path_of(route)
        # Those of WebSockets are no rivals; Litestar's mounts have no methods either.
        if path is not None and (hasattr(route, "methods") or "WebSocket" not in type(route).__name__):
            is_mount = bool(getattr(getattr(route, "route_handler", None), "is_mount", False))
            yield HttpPath(prefix + path, takes_all_below=is_mount)


def _wrapped(app: object) -> Iterator[object]:
    """Yield an application, and what it wraps."""
    for _ in range(_MAX_WRAPPERS):
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
                continue  # Which paths it matches is not known.
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
        # starlette.endpoints.HTTPEndpoint has a function for each; of another ASGI application nothing is known.
        endpoint = getattr(route, "endpoint", None)
        methods = [method for method in _OF_AN_ENDPOINT if callable(getattr(endpoint, method.lower(), None))]
    return tuple(sorted(method for method in methods if method != "HEAD" or "GET" not in methods))


def _mounts_that_took(taken: str, path: str, routes: Iterable[Any], scope: Scope) -> str | None:
    """Return the joined templates of the mounts that took `taken` off the front of `path`, or None."""
    if not taken:
        return ""
    for route in routes:
        if not hasattr(route, "routes"):
            continue
        if not hasattr(route, "path_regex"):  # starlette.routing.Host takes nothing of the path.
            below = _mounts_that_took(taken, path, _routes_below(route), scope) if _is_host(route, scope) else None
            if below is not None:
                return below
            continue
        match = route.path_regex.match(path)
        if match is None:
            continue
        rest = "/" + match["path"]
        own = path[: len(path) - len(rest)]
        if taken.startswith(own):
            below = _mounts_that_took(taken[len(own) :], rest, _routes_below(route), scope)
            if below is not None:
                return _mount_template(route) + below
    return None


def _match(routes: Iterable[Any], path: str, scope: Scope) -> str | None:
    """Match as starlette.routing.Router does: the first that fits, else the first that fits but for the method."""
    but_for_the_method = None
    for route in routes:
        if not hasattr(route, "path_regex"):
            if _is_host(route, scope):
                return _match(_routes_below(route), path, scope)
            continue
        match = route.path_regex.match(path)
        if match is None:
            continue
        if hasattr(route, "routes"):
            below = _match(_routes_below(route), "/" + match["path"], scope)
            return _mount_template(route) + (below or _below_mount(route))
        # Starlette's Route has methods, None for all of them; its WebSocketRoute has no such attribute.
        if hasattr(route, "methods") != (scope["type"] == "http"):
            continue
        if scope["type"] == "websocket" or not route.methods or scope["method"] in route.methods:
            return _path_of(route)
        but_for_the_method = but_for_the_method or _path_of(route)
    return but_for_the_method


def _is_host(route: Any, scope: Scope) -> bool:
    return hasattr(route, "host_regex") and route.matches(scope)[0].name != "NONE"


__all__ = ["ROUTE_KEY", "UNMATCHED", "DeclaredRoute", "HttpPath", "RouteTemplates", "declared_routes", "http_paths"]
