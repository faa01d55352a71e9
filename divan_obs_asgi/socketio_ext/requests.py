"""Marks the HTTP requests and WebSockets of Engine.IO for the stack around the server."""

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

# One route for all of them, wherever the server is mounted.
ROUTE = "/socket.io"


class EngineRequests:
    """Sets route and `waits` on the records of Engine.IO's requests, and notices upgrades to WebSocket."""

    def __init__(self, transports: Transports, sockets: Callable[[], Mapping[str, Any]], drain: Drain) -> None:
        self._transports = transports
        self._sockets = sockets
        self._drain = drain
        # Engine.IO drops a client that leaves before its poll is answered.
        self._polled: WeakSet[Any] = WeakSet()

    def begin(self, scope: Scope, receive: Receive) -> Receive:
        """Mark the request, and return the `receive` for the server."""
        eio_sid = _session_of(scope)
        record = scope.get(RECORD_KEY)
        # A request without a session is a handshake. It is answered at once, like a POST.
        is_poll = bool(eio_sid) and scope["type"] == "http" and scope.get("method") == "GET"
        if record is not None:
            record.declare_route(ROUTE)
            if is_poll:
                record.waits = True
        if is_poll and (socket := self._sockets().get(eio_sid)) is not None:
            self._polled.add(socket)
            if self._drain.state == "ending":
                # The server waits for its open requests, and a poll may last half a minute.
                answer_poll(socket)
        return self._looking(eio_sid, receive) if eio_sid and scope["type"] == "websocket" else receive

    async def answer_polls(self) -> None:
        """Answer every open poll: the process would wait for them before it exits."""
        for socket in list(self._polled):
            answer_poll(socket)

    def _looking(self, eio_sid: str, receive: Receive) -> Receive:
        polling = self._transports.polling

        # Not async: that would cost one more coroutine per message of the WebSocket.
        def receive_and_look() -> Awaitable[Message]:
            # Engine.IO receives the next message when it has handled the last one, the upgrade.
            if eio_sid in polling:
                self._transports.look(eio_sid, self._sockets())
            return receive()

        return receive_and_look


def _session_of(scope: Scope) -> str:
    query: dict[str, list[str]] = parse_qs(scope.get("query_string", b"").decode("latin-1"))
    return query.get("sid", [""])[0]


__all__ = ["ROUTE", "EngineRequests"]
