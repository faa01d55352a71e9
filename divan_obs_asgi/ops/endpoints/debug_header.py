"""POST /ops/console/debug-header: make a header that debugs the one request which carries it; OBS_DEBUG_KEY."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from divan_obs_asgi.connection.debug_header import HEADER, VALID_S, DebugKey
from divan_obs_asgi.observability.ops_endpoints import ERROR_SCHEMA, Endpoint, Operation, ResponseDescription, Schema
from divan_obs_asgi.ops.guard import Guard
from divan_obs_asgi.ops.responses import RequestRefused, json_response

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability

DEBUG_HEADER = "/ops/console/debug-header"
NO_KEY = "OBS_DEBUG_KEY is not set."
_NAME = "X-Divan-Debug"
assert _NAME.lower().encode() == HEADER
_MADE: Schema = {
    "type": "object",
    "properties": {
        "header": {"const": _NAME},
        "value": {"type": "string", "description": "A credential until it expires."},
        "expires": {"type": "integer", "description": "Unix time in seconds."},
    },
    "required": ["header", "value", "expires"],
    "additionalProperties": False,
}


class DebugHeaderEndpoint:
    """Makes what `divan-obs debug-header` prints, for the page; exists where the console does."""

    def __init__(self, obs: Observability, guard: Guard) -> None:
        self._enabled = obs.settings.console.enabled
        self._key = obs.settings.console.debug_key

    def endpoints(self) -> Iterator[Endpoint]:
        if not self._enabled:
            return
        responses = {
            200: ResponseDescription("The header, valid for 15 minutes.", _MADE),
            409: ResponseDescription("OBS_DEBUG_KEY is not set.", ERROR_SCHEMA),
        }
        make = Operation("POST", "Make a header that debugs the request which carries it.", self.make, responses)
        yield Endpoint(DEBUG_HEADER, (make,))

    async def make(self, request: Request) -> Response:
        if not self._key:
            raise RequestRefused(409, NO_KEY)
        now = int(time.time())
        return json_response({"header": _NAME, "value": DebugKey(self._key).header(now), "expires": now + VALID_S})


__all__ = ["DEBUG_HEADER", "NO_KEY", "DebugHeaderEndpoint"]
