"""The requests and WebSockets in flight, as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from divan_obs_asgi.observability.ops_endpoints import Schema

if TYPE_CHECKING:
    from divan_obs_asgi.lifecycle.drain import Drain

_COUNT: Schema = {"type": "integer", "minimum": 0}
IN_FLIGHT: Schema = {
    "type": "object",
    "properties": {"requests": _COUNT, "websockets": _COUNT},
    "required": ["requests", "websockets"],
    "additionalProperties": False,
}


def in_flight(drain: Drain) -> dict[str, int]:
    """Return the numbers of requests and WebSockets in flight, without the request that asks for them."""
    return {"requests": max(0, drain.in_flight["http"] - 1), "websockets": drain.in_flight["websocket"]}


__all__ = ["IN_FLIGHT", "in_flight"]
