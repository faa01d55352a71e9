"""Rooms, and a page beside them: python-socketio's guide to the server, and its example for ASGI."""

from __future__ import annotations

from typing import Any

import socketio

import divan_obs_asgi as obs

sio = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins=["http://localhost:3000"])


@sio.event  # type: ignore[untyped-decorator]
async def connect(sid: str, environ: dict[str, Any]) -> None:
    await sio.emit("my_response", {"data": "Connected"}, room=sid)


@sio.event  # type: ignore[untyped-decorator]
async def join(sid: str, message: dict[str, Any]) -> None:
    await sio.enter_room(sid, message["room"])


@sio.event  # type: ignore[untyped-decorator]
async def my_room_event(sid: str, message: dict[str, Any]) -> None:
    await sio.emit("my_response", {"data": message["data"]}, room=message["room"])


app = obs.wrap(socketio.ASGIApp(sio, static_files={"/": "page.html"}))
