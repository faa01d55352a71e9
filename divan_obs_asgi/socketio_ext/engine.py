"""What the Engine.IO server does, seen: packets, bytes, transports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engineio import AsyncServer as Engine

    from divan_obs_asgi.socketio_ext.watch import Watch
else:
    Engine = object


class ObservedEngine(Engine):
    """Stands in front of an Engine.IO server's class (`become`)."""

    divan_watch: Watch

    async def send_packet(self, sid: str, pkt: Any) -> None:
        """As in Engine.IO, counted; `send` comes by here, too."""
        self.divan_watch.packet_out(pkt.data)
        await super().send_packet(sid, pkt)


def answer_polls(sockets: Mapping[str, Any], eio_sid: str | None = None) -> None:
    """
    Have the long poll that each client waits in, or sends next, answered at once, by a packet that means nothing.

    Not by Engine.IO's "close": python-socketio's client would take that for the end, and would not connect anew.

    Args:
        eio_sid: of the only client; all of them by default.
    """
    from engineio.packet import NOOP, Packet

    for socket in list(sockets.values()) if eio_sid is None else filter(None, [sockets.get(eio_sid)]):
        if not (socket.upgraded or socket.closed):
            socket.queue.put_nowait(Packet(NOOP))


__all__ = ["ObservedEngine", "answer_polls"]
