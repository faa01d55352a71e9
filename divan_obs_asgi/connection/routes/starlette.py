"""Route tables of Starlette and FastAPI: finds the template that matches a path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from divan_obs_asgi.connection.routes.matched import UNMATCHED
from divan_obs_asgi.types import Scope

# How many wrappers to look through for a route table. Deeper stacks than this are loops.
MAX_WRAPPERS = 64


def path_of(route: object) -> str | None:
    path = getattr(route, "path_format", None) or getattr(route, "path", None)
    return path if isinstance(path, str) else None


def mount_template(route: Any) -> str:
    """`/t/{tenant}` of a Mount at `/t/{tenant:int}`, whose `path_format` takes the rest as `{path}`."""
    return str(route.path_format).removesuffix("/{path}")


def below_mount(route: Any) -> str:
    return f"/{{{UNMATCHED}}}" if route.routes else "/{path}"


def routes_below(app: object) -> Iterable[Any]:
    """Return the route table of the framework that `app` wraps, through any number of middlewares."""
    for _ in range(MAX_WRAPPERS):
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


def mounts_that_took(taken: str, path: str, routes: Iterable[Any], scope: Scope) -> str | None:
    """Return the joined templates of the mounts that took `taken` off the front of `path`, or None."""
    if not taken:
        return ""
    for route in routes:
        if not hasattr(route, "routes"):
            continue
        if not hasattr(route, "path_regex"):  # starlette.routing.Host does not consume a part of the path.
            below = mounts_that_took(taken, path, routes_below(route), scope) if _is_host(route, scope) else None
            if below is not None:
                return below
            continue
        match = route.path_regex.match(path)
        if match is None:
            continue
        rest = "/" + match["path"]
        own = path[: len(path) - len(rest)]
        if taken.startswith(own):
            below = mounts_that_took(taken[len(own) :], rest, routes_below(route), scope)
            if below is not None:
                return mount_template(route) + below
    return None


def match_in(routes: Iterable[Any], path: str, scope: Scope) -> str | None:
    """Match as starlette.routing.Router does: the first full match, else the first match with another method."""
    but_for_the_method = None
    for route in routes:
        if not hasattr(route, "path_regex"):
            if _is_host(route, scope):
                return match_in(routes_below(route), path, scope)
            continue
        match = route.path_regex.match(path)
        if match is None:
            continue
        if hasattr(route, "routes"):
            below = match_in(routes_below(route), "/" + match["path"], scope)
            return mount_template(route) + (below or below_mount(route))
        # Starlette's Route has methods, None for all of them; its WebSocketRoute has no such attribute.
        if hasattr(route, "methods") != (scope["type"] == "http"):
            continue
        if scope["type"] == "websocket" or not route.methods or scope["method"] in route.methods:
            return path_of(route)
        but_for_the_method = but_for_the_method or path_of(route)
    return but_for_the_method


def _is_host(route: Any, scope: Scope) -> bool:
    return hasattr(route, "host_regex") and route.matches(scope)[0].name != "NONE"


__all__ = ["MAX_WRAPPERS", "below_mount", "match_in", "mount_template", "mounts_that_took", "path_of", "routes_below"]
