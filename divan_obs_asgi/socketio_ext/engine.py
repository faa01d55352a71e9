"""The Engine.IO server, observed: packets and bytes that it sends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engineio import AsyncServer as Engine

    from divan_obs_asgi.socketio_ext.server_metrics import ServerMetrics
else:
    Engine = object


class ObservedEngine(Engine):
    """The first base class of an observed Engine.IO server (`become`)."""

    divan_watch: ServerMetrics

    async def send_packet(self, sid: str, pkt: Any) -> None:
        """As in Engine.IO, counted; `send` calls it, too."""
        self.divan_watch.packet_out(pkt.data)
        await super().send_packet(sid, pkt)


def answer_poll(socket: Any) -> None:
    """
    Answer the current or the next long poll of a client at once, with a packet that has no effect.

    Engine.IO's "close" would not do: python-socketio's client would not connect again after it.
    """
    from engineio.packet import NOOP, Packet

    # A client that has announced its end still has a poll open, which Engine.IO does not answer.
    if not socket.upgraded and (socket.queue.empty() or not socket.closed):
        socket.queue.put_nowait(Packet(NOOP))


__all__ = ["ObservedEngine", "answer_poll"]
