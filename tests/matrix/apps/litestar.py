"""The surface in Litestar."""

from __future__ import annotations

from typing import Any

from litestar import Litestar, WebSocket, get, websocket
from litestar.exceptions import WebSocketDisconnect

import divan_obs_asgi as obs
from tests.matrix import surface


@get("/rooms/{room_id:str}")
async def room(room_id: str) -> str:
    return surface.room()


@get("/fail/{room_id:str}")
async def fail(room_id: str) -> str:
    return surface.fail()


@get("/wait")
async def wait() -> str:
    return await surface.wait()


@websocket("/echo/{room_id:str}")
async def echo(socket: WebSocket[Any, Any, Any], room_id: str) -> None:
    await socket.accept()
    try:
        while True:
            await socket.send_text(surface.echo(await socket.receive_text()))
    except WebSocketDisconnect:
        return


service: Any = Litestar([room, fail, wait, echo])
app = obs.wrap(service)
