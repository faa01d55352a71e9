"""GET /ops and /ops/openapi.json: the list of all endpoints, for people and for programs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from divan_obs_asgi.observability.ops_endpoints import METHODS, Endpoint, Operation, ResponseDescription, Schema
from divan_obs_asgi.ops.endpoints.in_flight import IN_FLIGHT, in_flight
from divan_obs_asgi.ops.openapi import description
from divan_obs_asgi.ops.responses import json_response
from divan_obs_asgi.version import __version__

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability

_TEXT: Schema = {"type": "string"}
_INDEX: Schema = {
    "type": "object",
    "properties": {
        "service": _TEXT,
        "env": _TEXT,
        "commit": _TEXT,
        "version": {"type": "string", "description": "The version of divan-obs-asgi."},
        "pid": {"type": "integer"},
        "in_flight": IN_FLIGHT,
        "endpoints": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "path": _TEXT,
                    "method": {"enum": list(METHODS)},
                    "summary": _TEXT,
                    "guarded": {"type": "boolean"},
                },
                "required": ["path", "method", "summary", "guarded"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["service", "env", "commit", "version", "pid", "in_flight", "endpoints"],
}


class IndexEndpoints:
    """
    Lists all endpoints.

    Args:
        endpoints: a list to which endpoints are added later, these two and those of the service.
    """

    def __init__(self, obs: Observability, endpoints: Sequence[Endpoint]) -> None:
        self._obs = obs
        self._endpoints = endpoints

    def endpoints(self) -> Iterator[Endpoint]:
        listed = {200: ResponseDescription("All endpoints.", _INDEX)}
        described = {
            200: ResponseDescription("An OpenAPI 3.1 document.", {"type": "object", "required": ["openapi", "paths"]})
        }
        yield Endpoint("/ops", (Operation("GET", "All endpoints, and which service this is.", self.describe, listed),))
        summary = "All endpoints as an OpenAPI document."
        yield Endpoint("/ops/openapi.json", (Operation("GET", summary, self.openapi, described),))

    async def describe(self, request: Request) -> Response:
        settings = self._obs.settings
        return json_response(
            {
                "service": settings.service.name,
                "env": settings.service.env,
                "commit": settings.service.commit,
                "version": __version__,
                "pid": os.getpid(),
                "in_flight": in_flight(self._obs.drain),
                "endpoints": [
                    {
                        "path": endpoint.path,
                        "method": operation.method,
                        "summary": operation.summary,
                        "guarded": endpoint.guarded,
                    }
                    for endpoint in self._endpoints
                    for operation in endpoint.operations
                ],
            }
        )

    async def openapi(self, request: Request) -> Response:
        title = f"{self._obs.settings.service.name}: health, metrics and ops"
        root: str = request.scope.get("root_path", "")
        return json_response(description(self._endpoints, title, __version__, root))


__all__ = ["IndexEndpoints"]
