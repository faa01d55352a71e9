"""The surface in Starlette."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

import divan_obs_asgi as obs
from tests.matrix import surface


async def room(request: Request) -> PlainTextResponse:
    return PlainTextResponse(surface.room())


async def fail(request: Request) -> PlainTextResponse:
    return PlainTextResponse(surface.fail())


async def wait(request: Request) -> PlainTextResponse:
    return PlainTextResponse(await surface.wait())


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for message in websocket.iter_text():
        await websocket.send_text(surface.echo(message))


app = Starlette(
    routes=[
        Route("/rooms/{room_id}", room),
        Route("/fail/{room_id}", fail),
        Route("/wait", wait),
        WebSocketRoute("/echo/{room_id}", echo),
    ]
)
obs.init(app)
