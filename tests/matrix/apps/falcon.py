"""The surface in Falcon."""

from __future__ import annotations

from typing import Any

import falcon.asgi
from falcon.errors import WebSocketDisconnected

import divan_obs_asgi as obs
from tests.matrix import surface


class Room:
    async def on_get(self, request: Any, response: Any, room_id: str) -> None:
        response.text = surface.room()


class Fail:
    async def on_get(self, request: Any, response: Any, room_id: str) -> None:
        response.text = surface.fail()


class Wait:
    async def on_get(self, request: Any, response: Any) -> None:
        response.text = await surface.wait()


class Echo:
    async def on_websocket(self, request: Any, socket: Any, room_id: str) -> None:
        await socket.accept()
        try:
            while True:
                await socket.send_text(surface.echo(await socket.receive_text()))
        except WebSocketDisconnected:
            return


service: Any = falcon.asgi.App()
service.add_route("/rooms/{room_id}", Room())
service.add_route("/fail/{room_id}", Fail())
service.add_route("/wait", Wait())
service.add_route("/echo/{room_id}", Echo())
app = obs.wrap(service)
