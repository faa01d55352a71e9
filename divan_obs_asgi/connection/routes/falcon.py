"""Falcon: reads the template from the routed request."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from divan_obs_asgi.connection.routes.matched import Reader, note_match
from divan_obs_asgi.connection.routes.notation import from_braces


def reader(applications: Iterable[object]) -> Reader | None:
    """Add a middleware to each Falcon application that keeps the request until the route is read."""
    kind = sys.modules["falcon.asgi"].App
    for app in applications:
        if isinstance(app, kind) and not _notes(app):
            app.add_middleware(_RequestKeeper())
    return None


def _notes(app: Any) -> bool:
    # A second stack adds no second middleware. An application has slots, so that it cannot be marked.
    return any(isinstance(one, _RequestKeeper) for one in getattr(app, "_unprepared_middleware", ()))


class _RequestKeeper:
    """Keeps the request. Where another middleware responds before Falcon has routed, there is no route."""

    async def process_request(self, request: Any, response: Any) -> None:
        note_match(request.scope, _template, request, below_mounts=False)

    async def process_request_ws(self, request: Any, websocket: Any) -> None:
        note_match(request.scope, _template, request, below_mounts=False)


def _template(request: Any) -> str | None:
    template = request.uri_template
    return None if template is None else from_braces(template)


__all__ = ["reader"]
