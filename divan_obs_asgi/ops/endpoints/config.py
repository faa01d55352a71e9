"""GET /ops/config: the flags in force, and where each came from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from divan_obs_asgi.ops.endpoint import Content, Endpoint, Operation, Schema
from divan_obs_asgi.ops.guard import Guard
from divan_obs_asgi.ops.responses import json_answer
from divan_obs_asgi.settings.flag import SOURCES

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability

MASK = "[set]"
_FLAGS: Schema = {
    "type": "object",
    "properties": {
        "flags": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "properties": {"value": {}, "source": {"enum": list(SOURCES)}},
                "required": ["value", "source"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["flags"],
    "additionalProperties": False,
}


class Config:
    """Tells the settings of this process; of a secret whether it is set."""

    def __init__(self, obs: Observability, guard: Guard) -> None:
        self._obs = obs

    def endpoints(self) -> Iterator[Endpoint]:
        summary = "The flags in force, and where each came from; secrets are masked."
        read = Operation("GET", summary, self.describe, {200: Content("Every flag.", _FLAGS)})
        yield Endpoint("/ops/config", (read,))

    async def describe(self, request: Request) -> Response:
        flags = {
            in_force.flag.name: {
                "value": self._told(in_force.value, secret=in_force.flag.secret),
                "source": in_force.source,
            }
            for in_force in self._obs.settings.in_force()
        }
        return json_answer({"flags": flags})

    def _told(self, value: object, *, secret: bool) -> object:
        if secret:
            return None if value is None else MASK
        if isinstance(value, tuple):
            # One by one: a list is cut after ten.
            return [self._obs.redaction.redact(item) for item in value]
        # Also what is no secret by its name may have one in it, as a URL has.
        return self._obs.redaction.redact(value)


__all__ = ["MASK", "Config"]
