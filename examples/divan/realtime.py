"""The Socket.IO side: what happens in a room is pushed to whoever has joined it."""

# python-socketio is not annotated, and its methods are called on its subclasses here.
# mypy: allow-untyped-calls

from __future__ import annotations

import logging
import re
from collections.abc import Mapping

import socketio

import divan_obs_asgi as obs
from divan_obs_asgi.metrics import Domain
from examples.divan.auth import Tokens

logger = logging.getLogger(__name__)

NAMESPACE = "/chat"
ROOM_PATTERN = r"^[a-z0-9][a-z0-9-]{0,31}$"
_NO_ROOM = "A room is named in lower case letters, digits and -, as in {'room': 'lobby'}."


class ChatServer(obs.socketio_ext.ObservedAsyncServer):
    """The Socket.IO server of Divan."""

    def __init__(self, observability: obs.Observability, tokens: Tokens) -> None:
        super().__init__(obs=observability, async_mode="asgi")
        self.register_namespace(ChatNamespace(tokens, observability.metrics.domain))

    async def close(self) -> None:
        """End the background work; to be awaited before the web server is gone."""
        await self.shutdown()

    async def tell(self, room: str, event: str, data: Mapping[str, object]) -> None:
        """Send an event to everyone who has joined the room."""
        await self.emit(event, data, room=_channel(room), namespace=NAMESPACE)


class ChatNamespace(socketio.AsyncNamespace):
    """
    The namespace /chat. A client connects with `{"token": ...}` and then joins rooms.

    Events in: `join {"room": ...}` and `leave {"room": ...}`, each acknowledged with `{"ok": true}` or
    `{"ok": false, "error": ...}`. Events out: `message`, `read`.
    """

    def __init__(self, tokens: Tokens, counts: Domain) -> None:
        super().__init__(NAMESPACE)
        self._tokens = tokens
        self._counts = counts

    async def on_connect(self, sid: str, environ: Mapping[str, object], auth: object) -> None:
        token = auth.get("token") if isinstance(auth, dict) else None
        if not isinstance(token, str) or self._tokens.name_of(token) is None:
            raise socketio.exceptions.ConnectionRefusedError("Connect with the token of POST /auth/demo.")

    async def on_join(self, sid: str, wish: object = None) -> dict[str, object]:
        room = _room_of(wish)
        if room is None:
            return {"ok": False, "error": _NO_ROOM}
        await self.enter_room(sid, _channel(room))
        self._counts.room_joined()
        logger.info("client joined a room")
        return {"ok": True}

    async def on_leave(self, sid: str, wish: object = None) -> dict[str, object]:
        room = _room_of(wish)
        if room is None:
            return {"ok": False, "error": _NO_ROOM}
        await self.leave_room(sid, _channel(room))
        return {"ok": True}


def _room_of(wish: object) -> str | None:
    room = wish.get("room") if isinstance(wish, dict) else None
    return room if isinstance(room, str) and re.fullmatch(ROOM_PATTERN, room) else None


def _channel(room: str) -> str:
    # Every client is alone in a Socket.IO room named like its session id; the prefix keeps others out of those.
    return f"room:{room}"
