"""The surface in FastAPI."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI, WebSocket

import divan_obs_asgi as obs
from tests.matrix import surface

router = APIRouter(prefix="/rooms")


@router.get("/{room_id}")
async def room(room_id: str) -> str:
    return surface.room()


app = FastAPI()
app.include_router(router)


@app.get("/fail/{room_id}")
async def fail(room_id: str) -> str:
    return surface.fail()


@app.get("/wait")
async def wait() -> str:
    return await surface.wait()


@app.websocket("/echo/{room_id}")
async def echo(websocket: WebSocket, room_id: str) -> None:
    await websocket.accept()
    async for message in websocket.iter_text():
        await websocket.send_text(surface.echo(message))


obs.init(app)
