"""The surface in Quart."""

from __future__ import annotations

from typing import Any

from quart import Quart, websocket

import divan_obs_asgi as obs
from tests.matrix import surface

service = Quart("shop")


@service.get("/rooms/<room_id>")
async def room(room_id: str) -> str:
    return surface.room()


@service.get("/fail/<room_id>")
async def fail(room_id: str) -> str:
    return surface.fail()


@service.get("/wait")
async def wait() -> str:
    return await surface.wait()


@service.websocket("/echo/<room_id>")
async def echo(room_id: str) -> None:
    while True:
        await websocket.send(surface.echo(str(await websocket.receive())))


served: Any = service
app = obs.wrap(served)
