"""GET /ops/middleware: which middlewares are on, and why others are off."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from divan_obs_asgi.observability.ops_endpoints import Endpoint, Operation, ResponseDescription, Schema
from divan_obs_asgi.observability.stacks import Place
from divan_obs_asgi.ops.guard import Guard
from divan_obs_asgi.ops.responses import json_response

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability

_STACKS: Schema = {
    "type": "object",
    "properties": {
        "stacks": {
            "type": "array",
            "items": {
                "type": "array",
                "description": "Outermost first.",
                "items": {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string"},
                        "on": {"type": "boolean"},
                        "why_not": {"type": ["string", "null"]},
                    },
                    "required": ["name", "on", "why_not"],
                    "additionalProperties": False,
                },
            },
        }
    },
    "required": ["stacks"],
    "additionalProperties": False,
}


class MiddlewareEndpoint:
    """Lists the middlewares of each stack."""

    def __init__(self, obs: Observability, guard: Guard) -> None:
        self._obs = obs

    def endpoints(self) -> Iterator[Endpoint]:
        summary = "Which middlewares are on, and why others are off."
        responses = {200: ResponseDescription("The middlewares of each stack.", _STACKS)}
        yield Endpoint("/ops/middleware", (Operation("GET", summary, self.describe, responses),))

    async def describe(self, request: Request) -> Response:
        stacks = [[self._describe(place) for place in places] for places in self._obs.built_stacks.stacks]
        return json_response({"stacks": stacks})

    def _describe(self, place: Place) -> dict[str, object]:
        text = self._obs.redaction.redact_text
        # The reason of a third-party middleware may contain a secret.
        why_not = None if place.why_not is None else text(place.why_not)
        return {"name": text(place.name), "on": why_not is None, "why_not": why_not}


__all__ = ["MiddlewareEndpoint"]
