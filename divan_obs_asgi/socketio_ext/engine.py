"""The Engine.IO server, observed: packets and bytes that it sends, and what it refuses."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from divan_obs_asgi.connection.record import current_record
from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.socketio_ext.refusals import LOG_KEYS, Refusals, reason_of_error

if TYPE_CHECKING:
    from engineio import AsyncServer as Engine

    from divan_obs_asgi.socketio_ext.server_metrics import ServerMetrics
else:
    Engine = object

# The attribute of an exception whose refusal was counted.
_COUNTED = "divan_obs_counted"


class ObservedEngine(Engine):
    """The first base class of an observed Engine.IO server (`become`)."""

    divan_watch: ServerMetrics
    divan_refusals: Refusals
    # Under which key Engine.IO has logged a refusal. Its next call makes the response, so no other request is between.
    divan_key = ""

    # Not async: that would cost one more coroutine per packet, and an emit sends one to each member of a room.
    def send_packet(self, sid: str, pkt: Any) -> Any:
        """As in Engine.IO, counted; `send` calls it, too."""
        self.divan_watch.packet_out(pkt.data)
        if sid not in self.sockets or self.sockets[sid].closed:
            # Engine.IO logs it, or raises in a task that nobody awaits.
            self.divan_refusals.refuse("recipient_gone", by_client=False)
        return super().send_packet(sid, pkt)

    async def disconnect(self, sid: str | None = None) -> None:
        """As in Engine.IO, which ends a session that breaks the protocol before it responds, perhaps for ever."""
        error = sys.exc_info()[1]
        if error is not None and is_swallowed(error):
            self.divan_refuse(error)
        await super().disconnect(sid)

    def divan_refuse(self, error: BaseException) -> None:
        """Count what an exception refuses, once."""
        reason = reason_of_error(error)
        record = current_record.get()
        if reason == "poll_timeout" and isinstance(record, RequestRecord) and record.disconnected:
            return  # Nobody waits for the response.
        if reason is not None and not hasattr(error, _COUNTED):
            setattr(error, _COUNTED, True)
            self.divan_refusals.refuse(reason)

    # What makes the responses to requests. Engine.IO decides nowhere else, and offers no event for it.

    def _log_error_once(self, message: str, message_key: str) -> None:
        self.divan_key = message_key
        super()._log_error_once(message, message_key)

    def _bad_request(self, message: str | None = None) -> dict[str, Any]:
        key, self.divan_key = self.divan_key, ""
        error = sys.exc_info()[1]
        if key or message is not None:
            self.divan_refusals.refuse(LOG_KEYS.get(key, "other"))
        elif error is not None:
            self.divan_refuse(error)
        else:
            # The response of a server without WebSockets to an upgrade.
            self.divan_refusals.refuse("upgrade_failed")
        response: dict[str, Any] = super()._bad_request(message)
        return response

    def _unauthorized(self, message: str | None = None) -> dict[str, Any]:
        self.divan_refusals.refuse("auth")
        response: dict[str, Any] = super()._unauthorized(message)
        return response

    def _method_not_found(self) -> dict[str, Any]:
        self.divan_refusals.refuse("method")
        response: dict[str, Any] = super()._method_not_found()
        return response

    def _ok(self, packets: Any = None, headers: Any = None, jsonp_index: int | None = None) -> dict[str, Any]:
        if packets is None:
            error = sys.exc_info()[1]
            # Engine.IO answers 200 to a body that it has dropped, within the `except` block for the exception.
            if error is not None and is_swallowed(error):
                self.divan_refuse(error)
        response: dict[str, Any] = super()._ok(packets, headers=headers, jsonp_index=jsonp_index)
        return response


def is_swallowed(error: BaseException) -> bool:
    """Return whether Engine.IO's `handle_request` handles this exception, and not somebody who has called it."""
    step = error.__traceback__
    return step is not None and step.tb_frame.f_code.co_name == "handle_request"


def answer_poll(socket: Any) -> None:
    """
    Answer the current or the next long poll of a client at once, with a packet that has no effect.

    Engine.IO's "close" would not do: python-socketio's client would not connect again after it.
    """
    from engineio.packet import NOOP, Packet

    # A client that has announced its end still has a poll open, which Engine.IO does not answer.
    if not socket.upgraded and (socket.queue.empty() or not socket.closed):
        socket.queue.put_nowait(Packet(NOOP))


__all__ = ["ObservedEngine", "answer_poll", "is_swallowed"]
