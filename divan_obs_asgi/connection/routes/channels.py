"""Channels: its URLRouter puts the parameters of a match into a copy of the scope, but not the pattern."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from divan_obs_asgi.connection.routes.matched import Reader
from divan_obs_asgi.connection.routes.notation import from_django
from divan_obs_asgi.connection.routes.wrapped import applications_in, attribute
from divan_obs_asgi.types import Scope

_MOST_ROUTERS = 16


def reader(applications: Iterable[object]) -> Reader | None:
    """Return a reader that matches the path of an ended connection against the routers again."""
    kind = sys.modules["channels.routing"].URLRouter
    by_protocol: dict[str, Any] = {}
    for one in applications:
        # The outermost router of each protocol.
        mapping = attribute(one, "application_mapping")
        for protocol, application in mapping.items() if isinstance(mapping, Mapping) else ():
            by_protocol.setdefault(protocol, _first(kind, application))
        if isinstance(one, kind):
            for protocol in ("http", "websocket"):
                by_protocol.setdefault(protocol, one)
    routers = {protocol: router for protocol, router in by_protocol.items() if router is not None}
    if not routers:
        return None

    def read(scope: Scope) -> str | None:
        router = routers.get(scope["type"])
        path = scope["path"].removeprefix(scope.get("root_path", "")).lstrip("/")
        return None if router is None else _match(kind, router, path, _MOST_ROUTERS)

    return read


def _first(kind: type, application: object) -> Any:
    return next((one for one in applications_in(application) if isinstance(one, kind)), None)


def _match(kind: type, router: Any, path: str, depth: int) -> str | None:
    for route in router.routes:
        match = route.pattern.match(path)
        if not match:
            continue
        below = _first(kind, route.callback)
        own = from_django(str(route.pattern))
        if below is not None:
            rest = _match(kind, below, match[0], depth - 1) if depth else None
            if rest is None:
                continue  # It raises Resolver404, and URLRouter tries the next one.
            return f"/{own}{rest.removeprefix('/')}"
        # Django names its routes itself; a catch-all pattern in front of it says nothing.
        return None if _is_django(route.callback) else f"/{own}"
    return None


def _is_django(application: object) -> bool:
    handlers = sys.modules.get("django.core.handlers.asgi")
    return handlers is not None and any(isinstance(one, handlers.ASGIHandler) for one in applications_in(application))


__all__ = ["reader"]
