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


__all__ = ["ObservedEngine"]
