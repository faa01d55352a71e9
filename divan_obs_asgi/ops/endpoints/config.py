"""GET /ops/config: the flags in force, and the source of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from divan_obs_asgi.observability.ops_endpoints import Endpoint, Operation, ResponseDescription, Schema
from divan_obs_asgi.ops.guard import Guard
from divan_obs_asgi.ops.responses import json_response
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


class ConfigEndpoint:
    """Shows the settings of this process; for a secret, only whether it is set."""

    def __init__(self, obs: Observability, guard: Guard) -> None:
        self._obs = obs

    def endpoints(self) -> Iterator[Endpoint]:
        summary = "The flags in force, and the source of each; secrets are masked."
        read = Operation("GET", summary, self.describe, {200: ResponseDescription("Every flag.", _FLAGS)})
        yield Endpoint("/ops/config", (read,))

    async def describe(self, request: Request) -> Response:
        flags = {
            in_force.flag.name: {
                "value": self._shown(in_force.value, secret=in_force.flag.secret),
                "source": in_force.source,
            }
            for in_force in self._obs.settings.in_force()
        }
        return json_response({"flags": flags})

    def _shown(self, value: object, *, secret: bool) -> object:
        if secret:
            return None if value is None else MASK
        if isinstance(value, tuple):
            # One by one: redaction cuts a list after ten items.
            return [self._obs.redaction.redact(item) for item in value]
        # The value of any flag may contain a secret; a URL, for example.
        return self._obs.redaction.redact(value)


__all__ = ["MASK", "ConfigEndpoint"]
