"""The route template of a connection: what a framework matched, never what the client typed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from divan_obs_asgi.types import Scope

UNMATCHED = "__unmatched__"
# An application that routes by itself, or on a copy of the scope, says here what it matched.
ROUTE_KEY = "divan_obs_asgi.route"

# How many wrappers to look through for a route table. Deeper stacks than this are loops.
_MAX_WRAPPERS = 64
# Where a mount cannot be named by its template; its path may be the client's choice.
_UNKNOWN_MOUNT = "/{mount}"


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
        # Mount paths without parameters: these are ours and few. A template's variants are the client's.
        self._literal_mounts: set[str] = set()

    def template(self, scope: Scope) -> str:
        """Return the template (`/m/users/{id}`), or "__unmatched__"."""
        declared = scope.get(ROUTE_KEY)
        if declared is not None:
            return str(declared)
        route = scope.get("route")
        if route is None:
            return self._without_route(scope)
        path = _path_of(route)
        included = scope.get("fastapi")
        if included is not None:
            effective = included.get("effective_route_context")
            # A router mounted below leaves it behind for a route that is not its own.
            if effective is not None and effective.original_route is route:
                path = effective.path_format
        prefix = self._mounted_at(scope) if "app_root_path" in scope else ""
        if hasattr(route, "routes"):
            return prefix + _below_mount(route)
        return UNMATCHED if path is None else prefix + path

    def _without_route(self, scope: Scope) -> str:
        if "router" in scope and "endpoint" not in scope:
            return UNMATCHED  # A router has looked and found nothing.
        # Starlette before 1.10, routing on a copy of the scope, or an answer given before any routing.
        probe = {**scope, "path_params": {}, "root_path": _server_root(scope)}
        return _matched(_routes_below(self._app), probe) or UNMATCHED

    def _mounted_at(self, scope: Scope) -> str:
        """Return the templates of the mounts on the way to the matched route; the first one sets `app_root_path`."""
        root = _server_root(scope)
        taken = scope["root_path"][len(root) :]
        if not taken or taken in self._literal_mounts:
            return str(taken)
        template = _mounts_that_took(taken, scope["path"].removeprefix(root), _routes_below(self._app))
        if template == taken:
            self._literal_mounts.add(taken)
        return template if template is not None else _UNKNOWN_MOUNT


def _server_root(scope: Scope) -> str:
    return str(scope.get("app_root_path", scope.get("root_path", "")))


def _path_of(route: object) -> str | None:
    path = getattr(route, "path_format", None) or getattr(route, "path", None)
    return path if isinstance(path, str) else None


def _below_mount(route: Any) -> str:
    """Starlette names a Mount also where none of its own routes matched; an application without routes took it all."""
    return f"/{{{UNMATCHED}}}" if route.routes else "/{path}"


def _routes_below(app: object) -> Iterable[Any]:
    """Return the route table of the framework that `app` wraps, through any number of middlewares."""
    for _ in range(_MAX_WRAPPERS):
        routes = getattr(app, "routes", None)
        if isinstance(routes, list):
            return routes
        # `other_asgi_app` is where socketio.ASGIApp keeps the application that it wraps.
        app = getattr(app, "app", None) or getattr(app, "other_asgi_app", None)
        if app is None:
            break
    return ()


def _mounts_that_took(taken: str, path: str, routes: Iterable[Any]) -> str | None:
    """Return the joined templates of the mounts that took `taken` off the front of `path`, or None."""
    if not taken:
        return ""
    for route in routes:
        if not hasattr(route, "routes"):
            continue
        regex = getattr(route, "path_regex", None)
        if regex is None:  # starlette.routing.Host takes nothing of the path.
            below = _mounts_that_took(taken, path, route.routes)
            if below is not None:
                return below
            continue
        match = regex.match(path)
        if match is None:
            continue
        rest = "/" + match["path"]
        own = path[: len(path) - len(rest)]
        if taken.startswith(own):
            below = _mounts_that_took(taken[len(own) :], rest, _routes_below(route))
            if below is not None:
                return f"{route.path}{below}"
    return None


def _matched(routes: Iterable[Any], scope: dict[str, Any]) -> str | None:
    """Match as starlette.routing.Router does: the first full match, else the first that fits but for the method."""
    partial = None
    for route in routes:
        if not hasattr(route, "matches"):
            continue
        match, child = route.matches(scope)
        if match.name == "NONE":
            continue
        found = _path_of(route)
        if hasattr(route, "routes"):
            below = _matched(_routes_below(route), {**scope, **child})
            found = f"{getattr(route, 'path', '')}{below or _below_mount(route)}"
        if match.name == "FULL":
            return found
        partial = partial or found
    return partial


__all__ = ["ROUTE_KEY", "UNMATCHED", "RouteTemplates"]
