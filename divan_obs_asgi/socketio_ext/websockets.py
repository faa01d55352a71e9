"""What arrives by WebSocket: messages that Engine.IO drops without a word, and upgrades that fail."""

from __future__ import annotations

from typing import Any

from divan_obs_asgi.socketio_ext.refusals import Refusals, places
from divan_obs_asgi.socketio_ext.transports import Transports
from divan_obs_asgi.types import Message, Receive

# The types of packets that Engine.IO takes: close, pong, message, upgrade.
_TAKEN = frozenset("1345")
_TYPES = frozenset("0123456789")


class WebSocketReceive:
    """
    The `receive` of one WebSocket, for Engine.IO.

    Not a subclass of the driver's WebSocket: Engine.IO leaves the frames of that one to the garbage collector.

    Args:
        limit: bytes of a message; Engine.IO ends the connection at a longer one.
    """

    __slots__ = ("_limit", "_receive", "_refusals", "_transports", "eio_sid", "is_upgrade", "reads", "socket")

    def __init__(self, receive: Receive, refusals: Refusals, transports: Transports, limit: int) -> None:
        self._receive = receive
        self._refusals = refusals
        self._transports = transports
        self._limit = limit
        self.eio_sid = ""
        self.socket: Any = None
        self.is_upgrade = False
        self.reads = 0

    def belongs_to(self, eio_sid: str, socket: Any) -> None:
        """Note the session of this WebSocket. One that is connected already wants to be upgraded."""
        self.eio_sid, self.socket = eio_sid, socket
        self.is_upgrade = socket.connected and not socket.upgraded

    async def __call__(self) -> Message:
        if self.is_upgrade and self.socket.upgraded:
            # Engine.IO receives the next message when it has handled the last one, the upgrade.
            self.is_upgrade = False
            self._transports.look(self.eio_sid, {self.eio_sid: self.socket})
        message = await self._receive()
        text = message.get("text")
        # Nearly all are messages of Socket.IO; of the others, two in a minute are answers to pings.
        if text is None or text[:1] != "4" or len(text) > self._limit:
            self._look(message)
        return message

    def _look(self, message: Message) -> None:
        if self.socket is None or message["type"] == "websocket.connect":
            return
        if not self.socket.upgraded:
            self.reads += 1
            return
        data = message.get("bytes")
        if data is None:
            data = message.get("text") or ""
        if len(data) > self._limit:
            self._refusals.refuse("payload_too_large")
        elif isinstance(data, str) and data[:1] in _TYPES and data[0] not in _TAKEN:
            self._refusals.refuse("unknown_packet")
        elif data == "5" and self.socket.closed:
            self._refusals.refuse("session_closed")

    def ended(self, error: Exception | None = None) -> None:
        """Engine.IO has finished with this WebSocket, or has raised."""
        if self.is_upgrade and self.reads and not self.socket.upgraded:
            self._refusals.refuse("upgrade_failed")
        elif error is not None and self.socket is not None and ("engineio.packet", "decode") in places(error):
            self._refusals.refuse("undecodable")
        # Engine.IO keeps the environ, and this in it.
        self.socket = None


__all__ = ["WebSocketReceive"]
