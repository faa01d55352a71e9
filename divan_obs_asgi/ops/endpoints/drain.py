"""/ops/drain: be ready no longer, for a balancer to send its requests elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from divan_obs_asgi.ops.endpoint import Content, Endpoint, Operation, Schema
from divan_obs_asgi.ops.endpoints.in_flight import IN_FLIGHT, in_flight
from divan_obs_asgi.ops.guard import Guard
from divan_obs_asgi.ops.responses import json_answer

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


class Draining:
    """Of this process: where there are several workers, the one that answers drains, and SIGTERM reaches all."""

    def __init__(self, obs: Observability, guard: Guard) -> None:
        self._drain = obs.drain

    def endpoints(self) -> Iterator[Endpoint]:
        answers = {200: Content("How far it is, and what is in flight.", _STATE)}
        read = Operation("GET", "Whether the service drains, and what is in flight.", self.read, answers)
        start = Operation("POST", "Be ready no longer; requests are still served.", self.start, answers)
        yield Endpoint("/ops/drain", (read, start))

    async def read(self, request: Request) -> Response:
        drain = self._drain
        return json_answer(
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


__all__ = ["Draining"]
