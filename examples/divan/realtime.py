"""The Socket.IO side: pushes events of a room to its members, and events between friends to the other friend."""

# python-socketio is not annotated, and its methods are called on its subclasses here.
# mypy: allow-untyped-calls

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

import socketio

import divan_obs_asgi as obs
from examples.divan.auth import Tokens
from examples.divan.parts import ROOM_PATTERN, part
from examples.divan.unavailable import STORE_ERRORS, TRY_AGAIN

logger = logging.getLogger(__name__)
NAMESPACE = "/chat"
NOT_A_MEMBER = "You are not in this room: POST /rooms/{room}/join first."
# Seconds to wait for the acknowledgement of an event.
ACKNOWLEDGED_WITHIN_S = 60.0
_NO_ROOM = "A room is named in lower case letters, digits and -, as in {'room': 'lobby'}."
# Each client has a Socket.IO room named like its session id; the prefixes keep our rooms apart from those.
_ROOM, _PERSON = "room:", "person:"

IsMember = Callable[[str, str], Awaitable[bool | None]]


class RedisManager(socketio.AsyncRedisManager):
    """Connects several workers; closes its connections, which python-socketio leaves open."""

    def __init__(self, url: str) -> None:
        self._closing: set[asyncio.Task[None]] = set()
        super().__init__(url)

    def _redis_connect(self) -> None:
        if getattr(self, "redis", None) is not None:
            task = asyncio.get_running_loop().create_task(_close(self.pubsub, self.redis))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        super()._redis_connect()

    async def close(self) -> None:
        """End the listening task, which python-socketio never does, and close all connections."""
        listening: set[asyncio.Task[None]] = {self.thread} if hasattr(self, "thread") else set()
        for task in 10 * [*listening]:  # redis-py loses a cancellation that arrives while it connects
            task.cancel()
            await asyncio.wait(listening, timeout=0.1)
        if self.redis is not None:
            self._closing.add(asyncio.create_task(_close(self.pubsub, self.redis)))
        if self._closing:
            await asyncio.wait(self._closing, timeout=1)


class ChatServer(obs.socketio_ext.ObservedAsyncServer):
    """
    The Socket.IO server of Divan. `is_member` is called with a room and a name; REDIS_URL connects several workers.

    The requests of a long poll must all reach the same worker, so several workers accept WebSockets only.
    """

    def __init__(
        self, observability: obs.Observability, tokens: Tokens, is_member: IsMember, environ: Mapping[str, str]
    ) -> None:
        manager = RedisManager(environ["REDIS_URL"]) if environ.get("REDIS_URL") else None
        transports = ["websocket"] if environ.get("PROMETHEUS_MULTIPROC_DIR") else None
        super().__init__(obs=observability, async_mode="asgi", client_manager=manager, transports=transports)
        self.register_namespace(ChatNamespace(tokens, is_member))

    def open(self) -> None:
        """Listen to other workers before the first client connects: their clients acknowledge this worker's events."""
        self.manager_initialized = True
        self.manager.initialize()

    async def close(self) -> None:
        """End the background work; await it before the web server ends."""
        await self.shutdown()
        if isinstance(self.manager, RedisManager):
            await self.manager.close()

    async def emit_to_room(self, room: str, event: str, data: Mapping[str, object]) -> None:
        """Send an event to all clients that have joined a room."""
        await self.emit(event, data, room=_ROOM + room, namespace=NAMESPACE)

    async def emit_to_person(self, name: str, event: str, data: Mapping[str, object], acknowledged: Any = None) -> None:
        """Send an event to all clients of a person; `acknowledged` is awaited when one has received it."""
        await self.emit(event, data, room=_PERSON + name, namespace=NAMESPACE, callback=acknowledged)
        # A shared manager stores the pending acknowledgement under this room, and for ever if the room is empty.
        waiting: dict[int, object] = self.manager.callbacks.get(_PERSON + name, {})
        if waiting:
            asyncio.get_running_loop().call_later(ACKNOWLEDGED_WITHIN_S, _forget, waiting, max(waiting))


class ChatNamespace(socketio.AsyncNamespace):
    """
    The namespace /chat. A client connects with `{"token": ...}`, receives events of its friends, and joins rooms.

    Events in: `join {"room": ...}` and `leave {"room": ...}`, each acknowledged with `{"ok": true}` or
    `{"ok": false, "error": ...}`. Events out: `read`, and `message`, whose acknowledgement says that a friend has it.
    """

    def __init__(self, tokens: Tokens, is_member: IsMember) -> None:
        super().__init__(NAMESPACE)
        self._tokens, self._is_member = tokens, is_member

    async def on_connect(self, sid: str, environ: Mapping[str, object], auth: object) -> None:
        token = auth.get("token") if isinstance(auth, dict) else None
        name = self._tokens.name_of(token) if isinstance(token, str) else None
        if name is None:
            raise socketio.exceptions.ConnectionRefusedError("Connect with the token of POST /auth/demo.")
        await self.save_session(sid, {"name": name})
        await self.enter_room(sid, _PERSON + name)

    async def on_join(self, sid: str, data: object = None) -> dict[str, object]:
        if (room := _room_of(data)) is None:
            return {"ok": False, "error": _NO_ROOM}
        try:
            is_member = await self._is_member(room, (await self.get_session(sid))["name"])
        except STORE_ERRORS as error:
            logger.warning("a client could not join a room: %s", type(error).__name__)
            return {"ok": False, "error": TRY_AGAIN}
        if not is_member:
            return {"ok": False, "error": NOT_A_MEMBER}
        await self.enter_room(sid, _ROOM + room)
        logger.info("client joined a room")
        return {"ok": True}

    async def on_leave(self, sid: str, data: object = None) -> dict[str, object]:
        if (room := _room_of(data)) is None:
            return {"ok": False, "error": _NO_ROOM}
        await self.leave_room(sid, _ROOM + room)
        return {"ok": True}


def _room_of(data: object) -> str | None:
    room = data.get("room") if isinstance(data, dict) else None
    return room if isinstance(room, str) and re.fullmatch(ROOM_PATTERN, room) else None


async def _close(pubsub: Any, redis: Any) -> None:
    await pubsub.aclose()
    await redis.aclose()


def _forget(waiting: dict[int, object], newest: int) -> None:
    for number in [number for number in waiting if 0 < number <= newest]:  # 0 is the counter
        del waiting[number]


Live = Annotated[ChatServer, part("chat_server")]
