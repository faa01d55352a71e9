"""The HTTP requests and WebSockets that Engine.IO is spoken by, as the stack around them sees them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qs
from weakref import WeakSet

from divan_obs_asgi.connection.record import RECORD_KEY
from divan_obs_asgi.lifecycle.drain import Drain
from divan_obs_asgi.socketio_ext.engine import answer_poll
from divan_obs_asgi.socketio_ext.transports import Transports
from divan_obs_asgi.types import Message, Receive, Scope

# One for all of them, wherever the server is mounted.
ROUTE = "/socket.io"


class EngineRequests:
    """Tells the stack what a request of Engine.IO's is, and sees when a connection has been upgraded."""

    def __init__(self, transports: Transports, sockets: Callable[[], Mapping[str, Any]], drain: Drain) -> None:
        self._transports = transports
        self._sockets = sockets
        self._drain = drain
        # Engine.IO forgets a client that leaves before its poll has been answered.
        self._polled: WeakSet[Any] = WeakSet()

    def begin(self, scope: Scope, receive: Receive) -> Receive:
        """Return what the server is to receive by."""
        eio_sid = _session_of(scope)
        record = scope.get(RECORD_KEY)
        # Without a session it is a handshake, which is answered at once, like what a client posts.
        is_poll = bool(eio_sid) and scope["type"] == "http" and scope.get("method") == "GET"
        if record is not None:
            record.declare_route(ROUTE)
            if is_poll:
                record.waits = True
        if is_poll and (socket := self._sockets().get(eio_sid)) is not None:
            self._polled.add(socket)
            if self._drain.state == "ending":
                # The server waits for what it has begun to serve, and a poll would last for half a minute.
                answer_poll(socket)
        return self._looking(eio_sid, receive) if eio_sid and scope["type"] == "websocket" else receive

    async def answer_polls(self) -> None:
        """Have every poll answered that the end of the process would wait for."""
        for socket in list(self._polled):
            answer_poll(socket)

    def _looking(self, eio_sid: str, receive: Receive) -> Receive:
        polling = self._transports.polling

        # Not async: it would cost each message of the WebSocket a coroutine more.
        def receive_and_look() -> Awaitable[Message]:
            # Engine.IO asks for the next message as soon as it has done what the last one, the upgrade, was for.
            if eio_sid in polling:
                self._transports.look(eio_sid, self._sockets())
            return receive()

        return receive_and_look


def _session_of(scope: Scope) -> str:
    query: dict[str, list[str]] = parse_qs(scope.get("query_string", b"").decode("latin-1"))
    return query.get("sid", [""])[0]


__all__ = ["ROUTE", "EngineRequests"]
