"""The Socket.IO side: what happens in a room is pushed to its members who listen, what a friend does to the other."""

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
# For how long the acknowledgement of an event is waited for.
ACKNOWLEDGED_WITHIN_S = 60.0
_NO_ROOM = "A room is named in lower case letters, digits and -, as in {'room': 'lobby'}."
# Every client is alone in a Socket.IO room named like its session id; the prefixes keep others out of those.
_ROOM, _PERSON = "room:", "person:"

IsMember = Callable[[str, str], Awaitable[bool | None]]


class RedisManager(socketio.AsyncRedisManager):
    """Joins several workers; closes the connections that it has had, which python-socketio leaves open."""

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
        """End the task that listens, which python-socketio never does, and all connections."""
        listening: set[asyncio.Task[None]] = {self.thread} if hasattr(self, "thread") else set()
        for task in 10 * [*listening]:  # redis-py loses a cancellation that comes while it connects
            task.cancel()
            await asyncio.wait(listening, timeout=0.1)
        if self.redis is not None:
            self._closing.add(asyncio.create_task(_close(self.pubsub, self.redis)))
        if self._closing:
            await asyncio.wait(self._closing, timeout=1)


class ChatServer(obs.socketio_ext.ObservedAsyncServer):
    """
    The Socket.IO server of Divan; `is_member` is asked for a room and a name, and REDIS_URL joins several workers.

    The requests of a long poll reach any worker and must reach one, so that with several there are WebSockets only.
    """

    def __init__(
        self, observability: obs.Observability, tokens: Tokens, is_member: IsMember, environ: Mapping[str, str]
    ) -> None:
        manager = RedisManager(environ["REDIS_URL"]) if environ.get("REDIS_URL") else None
        transports = ["websocket"] if environ.get("PROMETHEUS_MULTIPROC_DIR") else None
        super().__init__(obs=observability, async_mode="asgi", client_manager=manager, transports=transports)
        self.register_namespace(ChatNamespace(tokens, is_member))

    def open(self) -> None:
        """Hear other workers before the first client comes: theirs acknowledge what this worker sends."""
        self.manager_initialized = True
        self.manager.initialize()

    async def close(self) -> None:
        """End the background work; to be awaited before the web server is gone."""
        await self.shutdown()
        if isinstance(self.manager, RedisManager):
            await self.manager.close()

    async def tell_room(self, room: str, event: str, data: Mapping[str, object]) -> None:
        """Send an event to all clients that have joined a room."""
        await self.emit(event, data, room=_ROOM + room, namespace=NAMESPACE)

    async def tell_person(self, name: str, event: str, data: Mapping[str, object], acknowledged: Any = None) -> None:
        """Send an event to all clients of a person; `acknowledged` is awaited when one has got it."""
        await self.emit(event, data, room=_PERSON + name, namespace=NAMESPACE, callback=acknowledged)
        # A manager that workers share keeps what waits under this room, and for ever if nobody is in.
        waiting: dict[int, object] = self.manager.callbacks.get(_PERSON + name, {})
        if waiting:
            asyncio.get_running_loop().call_later(ACKNOWLEDGED_WITHIN_S, _forget, waiting, max(waiting))


class ChatNamespace(socketio.AsyncNamespace):
    """
    The namespace /chat. A client connects with `{"token": ...}`; then it hears its friends, and joins rooms.

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

    async def on_join(self, sid: str, wish: object = None) -> dict[str, object]:
        if (room := _room_of(wish)) is None:
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

    async def on_leave(self, sid: str, wish: object = None) -> dict[str, object]:
        if (room := _room_of(wish)) is None:
            return {"ok": False, "error": _NO_ROOM}
        await self.leave_room(sid, _ROOM + room)
        return {"ok": True}


def _room_of(wish: object) -> str | None:
    room = wish.get("room") if isinstance(wish, dict) else None
    return room if isinstance(room, str) and re.fullmatch(ROOM_PATTERN, room) else None


async def _close(pubsub: Any, redis: Any) -> None:
    await pubsub.aclose()
    await redis.aclose()


def _forget(waiting: dict[int, object], newest: int) -> None:
    for number in [number for number in waiting if 0 < number <= newest]:  # 0 is the counter
        del waiting[number]


Live = Annotated[ChatServer, part("chat_server")]
