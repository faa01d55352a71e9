"""The route template of a connection: the framework's match, never the path that the client has sent."""

from __future__ import annotations

from typing import Any

from divan_obs_asgi.connection.routes.adapters import readers_of, routes_by_litestar
from divan_obs_asgi.connection.routes.litestar import is_mounted_in
from divan_obs_asgi.connection.routes.matched import RECORD_KEY, ROUTE_KEY, UNMATCHED
from divan_obs_asgi.connection.routes.starlette import below_mount, match_in, mounts_that_took, path_of, routes_below
from divan_obs_asgi.types import Scope

# For a mount without a known template; its path may be chosen by the client.
_UNKNOWN_MOUNT = "/{mount}"


class RouteTemplates:
    """
    Names the route of a finished connection from the frameworks' entries in the scope.

    In this order: `scope["divan_obs_asgi.route"]`; FastAPI's effective route (the only place that knows an
    `include_router` prefix since 0.137); the mounts' templates + `scope["route"].path` (Starlette >= 1.10);
    a second match against the route table where the scope has no route. The server's `root_path` is omitted,
    so that a route has one name in every deployment.

    Each other framework has an adapter. It is used where Starlette has matched nothing, or a mount.
    """

    def __init__(self, app: object, operations: object = None) -> None:
        self._app = app
        # What the application may say about a request beyond its route.
        self.operations: Any = operations
        self._readers = readers_of(app)
        self._looked_again = False
        if routes_by_litestar(app):
            self.template = self._template_by_litestar  # type: ignore[method-assign]

    def look_again(self) -> None:
        """Find frameworks that were loaded or mounted later; called when the application has started."""
        self._looked_again = True
        self._readers = readers_of(self._app)

    def template(self, scope: Scope) -> str:
        """Return the template (`/m/users/{id}`), or "__unmatched__"."""
        declared = scope.get(ROUTE_KEY)
        if declared is not None:
            return str(declared)
        route = scope.get("route")
        if route is None:
            noted = self._noted(scope)
            if noted is not None:
                return noted
            # A router without a match sets `router` and no `endpoint`. Without `router`: Starlette before 1.10, routing
            # on a copy of the scope, or a response before any routing.
            looked = "router" in scope and "endpoint" not in scope
            return UNMATCHED if looked else self._matched_again(scope)
        path = path_of(route)
        included = scope.get("fastapi")
        if included is not None:
            effective = included.get("effective_route_context")
            # A router mounted below leaves its own context for a route of another router.
            if effective is not None and effective.original_route is route:
                path = effective.path_format
        if path is None:
            return self._matched_again(scope)
        prefix = self._prefix(scope)
        if hasattr(route, "routes"):
            noted = self._noted(scope)
            if noted is not None:
                return noted
            # Starlette names a Mount where nothing below it matched, or matched on a copy of the scope.
            below = match_in(routes_below(route), scope["path"].removeprefix(scope["root_path"]), scope)
            return prefix + (below or below_mount(route))
        return prefix + path

    def _template_by_litestar(self, scope: Scope) -> str:
        """Return the template where Litestar routes first, and a Starlette may be mounted in it."""
        declared = scope.get(ROUTE_KEY)
        if declared is not None:
            return str(declared)
        template = self._noted(scope)
        if template is None or not is_mounted_in(scope):
            return UNMATCHED if template is None else template
        route = scope.get("route")
        return template + ((path_of(route) if route is not None else None) or "/{path}")

    def _noted(self, scope: Scope) -> str | None:
        """Return the match of a framework with an adapter, with the mounts of a Starlette around it."""
        record = scope.get(RECORD_KEY)
        if record is not None and record.matched is not None:
            name, match, below_mounts = record.matched
            template: str | None = name(match)
            if template is not None:
                return self._prefix(scope) + template if below_mounts else template
        for read in self._readers:
            template = read(scope)
            if template is not None:
                return self._prefix(scope) + template
        if not self._looked_again:
            # Without a lifespan there was no start of the application.
            self.look_again()
        return None

    def _prefix(self, scope: Scope) -> str:
        return self._mounted_at(scope) if "app_root_path" in scope else ""

    def _matched_again(self, scope: Scope) -> str:
        path = scope["path"].removeprefix(_server_root(scope))
        return match_in(routes_below(self._app), path, scope) or UNMATCHED

    def _mounted_at(self, scope: Scope) -> str:
        """Return the templates of the mounts on the way to the matched route; the first one sets `app_root_path`."""
        root = _server_root(scope)
        taken = scope["root_path"][len(root) :]
        path = scope["path"]
        if not path.startswith(scope["root_path"]):
            path = scope["root_path"] + path  # Litestar leaves what is below the mount.
        # A walk for each request below a mount: one Route object may stand below several mounts and hosts.
        template = mounts_that_took(taken, path.removeprefix(root), routes_below(self._app), scope)
        return template if template is not None else _UNKNOWN_MOUNT


def _server_root(scope: Scope) -> str:
    return str(scope.get("app_root_path", scope.get("root_path", "")))


__all__ = ["RouteTemplates"]
