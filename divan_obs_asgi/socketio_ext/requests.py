"""Marks the HTTP requests and WebSockets of Engine.IO for the stack around the server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs
from weakref import WeakSet

from divan_obs_asgi.connection.record import RECORD_KEY
from divan_obs_asgi.lifecycle.drain import Drain
from divan_obs_asgi.socketio_ext.engine import answer_poll
from divan_obs_asgi.socketio_ext.refusals import reason_of_escape
from divan_obs_asgi.socketio_ext.server_metrics import ServerMetrics
from divan_obs_asgi.socketio_ext.websockets import WebSocketReceive
from divan_obs_asgi.types import Receive, Scope

# One route for all of them, wherever the server is mounted.
ROUTE = "/socket.io"


class EngineRequests:
    """Sets route and `waits` on the records of Engine.IO's requests, and notices upgrades to WebSocket."""

    def __init__(
        self, watch: ServerMetrics, sockets: Callable[[], Mapping[str, Any]], drain: Drain, max_message_bytes: int
    ) -> None:
        self._transports = watch.transports
        self._refusals = watch.refusals
        self._max_message_bytes = max_message_bytes
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
        if eio_sid and scope.get("method") == "POST":
            self._look_at_length(eio_sid, scope)
        if is_poll and (socket := self._sockets().get(eio_sid)) is not None:
            self._polled.add(socket)
            if self._drain.state == "ending":
                # The server waits for its open requests, and a poll may last half a minute.
                answer_poll(socket)
        return self._websocket(eio_sid, receive) if scope["type"] == "websocket" else receive

    def _websocket(self, eio_sid: str, receive: Receive) -> Receive:
        looking = WebSocketReceive(receive, self._refusals, self._transports, self._max_message_bytes)
        socket = self._sockets().get(eio_sid)
        if socket is not None:
            looking.belongs_to(eio_sid, socket)
        return looking

    def _look_at_length(self, eio_sid: str, scope: Scope) -> None:
        """Count a body without Content-Length: Engine.IO takes it for empty, drops it and responds with 200."""
        if any(name == b"content-length" for name, _ in scope["headers"]):
            return
        socket = self._sockets().get(eio_sid)
        if socket is not None and socket.connected and not (socket.upgraded or socket.closed):
            self._refusals.refuse("no_length")

    def end(self, args: tuple[Any, ...], error: Exception | None = None) -> None:
        """Count what Engine.IO has refused without a response: by an exception, or by leaving a WebSocket."""
        scope, receive = args[:2] if len(args) > 1 else (None, None)
        if isinstance(receive, WebSocketReceive):
            receive.ended(error)
        if error is not None and isinstance(scope, Mapping):
            reason = reason_of_escape(error, bool(_session_of(scope)))
            if reason is not None:
                self._refusals.refuse(reason)

    async def answer_polls(self) -> None:
        """Answer every open poll: the process would wait for them before it exits."""
        for socket in list(self._polled):
            answer_poll(socket)


def _session_of(scope: Mapping[str, Any]) -> str:
    query: dict[str, list[str]] = parse_qs(scope.get("query_string", b"").decode("latin-1"))
    return query.get("sid", [""])[0]


__all__ = ["ROUTE", "EngineRequests"]
