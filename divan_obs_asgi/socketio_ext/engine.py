"""What the Engine.IO server does, seen: packets, bytes, transports."""

from __future__ import annotations

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


def answer_poll(socket: Any) -> None:
    """
    Have the long poll that a client waits in, or sends next, answered at once, by a packet that means nothing.

    Not by Engine.IO's "close": python-socketio's client would take that for the end, and would not connect anew.
    """
    from engineio.packet import NOOP, Packet

    # A client that has said that it leaves has a poll open nevertheless, which nothing answers.
    if not socket.upgraded and (socket.queue.empty() or not socket.closed):
        socket.queue.put_nowait(Packet(NOOP))


__all__ = ["ObservedEngine", "answer_poll"]
