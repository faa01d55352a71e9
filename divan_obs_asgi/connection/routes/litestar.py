"""Litestar: it puts the template into the scope, except for mounts."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

from divan_obs_asgi.connection.routes.matched import Reader
from divan_obs_asgi.types import Scope


def reader(applications: Iterable[object]) -> Reader | None:
    """Return a reader of `scope["path_template"]`; for a mount it returns the path of the handler."""
    kind = sys.modules["litestar"].Litestar
    apps: list[Any] = [one for one in applications if isinstance(one, kind)]
    if not apps:
        return None

    def read(scope: Scope) -> str | None:
        handler = scope.get("route_handler")
        if handler is None:
            return None
        if getattr(handler, "is_mount", False) or getattr(handler, "is_static", False):
            return _mounted_at(apps, handler, scope)
        template = scope.get("path_template")
        return template if isinstance(template, str) else None

    return read


def is_mounted_in(scope: Scope) -> bool:
    """Return whether Litestar has passed the connection on to an application that is mounted in it."""
    return bool(getattr(scope.get("route_handler"), "is_mount", False))


def _mounted_at(apps: Iterable[Any], handler: object, scope: Scope) -> str | None:
    routes = [route for app in apps for route in app.routes if getattr(route, "route_handler", None) is handler]
    paths = sorted((str(route.path_format) for route in routes), key=len, reverse=True)
    if len(paths) > 1:
        # `scope["path"]` is only the rest below the mount.
        asked = unquote(scope.get("raw_path", b"").decode("latin-1")).removeprefix(scope.get("root_path", ""))
        paths = [path for path in paths if f"{asked}/".startswith(f"{path}/")] or paths
    return paths[0].rstrip("/") if paths else None


__all__ = ["is_mounted_in", "reader"]
