"""Socket.IO, around a plain callable that says itself what it matched."""

from __future__ import annotations

import socketio

import divan_obs_asgi as obs
from divan_obs_asgi.socketio_ext import ObservedAsyncServer
from divan_obs_asgi.types import Receive, Scope, Send
from tests.matrix import surface


class ChatServer(ObservedAsyncServer): ...


sio = ChatServer(async_mode="asgi")


@sio.event  # type: ignore[untyped-decorator]
async def echo(sid: str, message: str) -> str:
    return surface.echo(message)


async def plain(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise RuntimeError(f"{scope['type']} is not served here")
    _, kind, *_ = scope["path"].split("/")
    if kind != "wait":
        scope["divan_obs_asgi.route"] = f"/{kind}/{{room_id}}"
    body = {"rooms": surface.room, "fail": surface.fail}.get(kind)
    text = body() if body is not None else await surface.wait()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text.encode()})


app = obs.wrap(socketio.ASGIApp(sio, plain))
