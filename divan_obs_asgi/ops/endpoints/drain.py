"""/ops/drain: stop being ready, so that a balancer sends its requests elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from divan_obs_asgi.observability.ops_endpoints import Endpoint, Operation, ResponseDescription, Schema
from divan_obs_asgi.ops.endpoints.in_flight import IN_FLIGHT, in_flight
from divan_obs_asgi.ops.guard import Guard
from divan_obs_asgi.ops.responses import json_response

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability

_STATE: Schema = {
    "type": "object",
    "properties": {
        "state": {"enum": ["serving", "draining", "ending"]},
        "cause": {"type": "string"},
        "remaining_s": {"type": "number", "minimum": 0},
        "in_flight": IN_FLIGHT,
    },
    "required": ["state", "cause", "remaining_s", "in_flight"],
    "additionalProperties": False,
}


class DrainEndpoint:
    """Shows and starts the drain of this process. With several workers, SIGTERM reaches all of them."""

    def __init__(self, obs: Observability, guard: Guard) -> None:
        self._drain = obs.drain

    def endpoints(self) -> Iterator[Endpoint]:
        responses = {200: ResponseDescription("The state of the drain, and what is in flight.", _STATE)}
        read = Operation("GET", "Whether the service drains, and what is in flight.", self.read, responses)
        start = Operation("POST", "Start a drain: readiness fails, requests are still served.", self.start, responses)
        yield Endpoint("/ops/drain", (read, start))

    async def read(self, request: Request) -> Response:
        drain = self._drain
        return json_response(
            {
                "state": drain.state,
                "cause": drain.cause,
                "remaining_s": round(drain.remaining_s(), 3),
                "in_flight": in_flight(drain),
            }
        )

    async def start(self, request: Request) -> Response:
        self._drain.start("POST /ops/drain")
        return await self.read(request)


__all__ = ["DrainEndpoint"]
