"""Passes the messages between an application and its server to the record."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, ContextVar

from divan_obs_asgi.connection.contexts import run_in
from divan_obs_asgi.connection.disconnects import Reader, ReceiveAhead, has_left, is_of_one, of_uvicorn, reader_of
from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.types import Message, Receive, Send

# The context in which a request began, while it is in its server's `send` or `receive`. Where it is set when another
# connection begins, the server has started that one from inside, and not the application.
in_server: ContextVar[Context | None] = ContextVar("divan_obs_asgi.in_server", default=None)
_STARTS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})


class Channel:
    """
    The `send` and `receive` of the application. They pass each message to the record, and change only the headers of
    the response, where middlewares have set some.

    Only the application holds a channel. Where it keeps `send` beyond its call, its messages are still forwarded. The
    record may live as long as a task of the application, and holds nothing of the server.
    """

    # Most channels leave these as they are; a class attribute costs nothing per channel.
    cancel: Callable[[], object] | None = None
    _ahead: ReceiveAhead | None = None
    _receiving = 0
    _body_read = False
    _ending = False
    _looked_at = False
    _reader: Reader | None = None
    # Whether `send` is uvicorn's own, and not of a middleware around this library, which may use context variables.
    _is_uvicorns = False

    def __init__(self, record: RequestRecord, receive: Receive, send: Send, began: Context | None = None) -> None:
        self._record = record
        self._receive = receive
        self._send = send
        self._began = began

    def look(self) -> bool:
        """Note whether the client has left, and return it; called at intervals while the request lasts."""
        record = self._record
        if not record.awaits_response:
            return False
        if not record.disconnected:
            left = has_left(self._receive, self._send)
            if left:
                record.hung_up()
            elif left is None and self._ahead is None:
                self._receive_ahead()
        return record.disconnected

    def _receive_ahead(self) -> None:
        """Call `receive` ahead of the application to see a disconnect, unless that could take a part of the body."""
        if not self._looked_at:
            # Most requests end before the next look.
            self._looked_at = True
        elif not self._receiving and (self._body_read or not self._record.may_have_body()):
            self._ahead = ReceiveAhead(self._receive, self._body_read, self._left)

    def _left(self) -> None:
        # The end of a response has the same message.
        if self._record.awaits_response and not self._ending:
            self._record.hung_up()

    def close(self) -> None:
        """The call of the application has ended."""
        if self._ahead is not None:
            self._ahead.stop()

    def route(self) -> str:
        """Return the route as far as it is known."""
        return self._record.route_so_far()

    async def send(self, message: Message) -> None:
        record = self._record
        if record.outcome is not None:
            # The record is finished; later messages only pass through.
            await self._send(message)
            return
        kind = message["type"]
        if kind == "websocket.send":
            # Nothing else than this happens with it, and an emit to a room sends one to each member.
            try:
                await self._send(message)
            except OSError as error:
                record.hung_up(error)
                raise
            record.message_sent()
            return
        # No other request begins before the response has ended.
        began: Context | None = None
        is_last = False
        if kind in _STARTS:
            message = record.with_headers(message)
            reader = self._reader = reader_of(self._receive, self._send)
            if reader is not None:
                self._is_uvicorns = reader is of_uvicorn and is_of_one(self._receive, self._send)
                self._notice_hang_up()
        elif not message.get("more_body"):
            began = self._began
            is_last = self._ending = True
            if record.response_bytes and self._reader is not None:
                # The end of a stream: a server without its client accepts every `send`.
                self._notice_hang_up()
        try:
            if began is None:
                await self._send(message)
            elif self._is_uvicorns:
                # What uvicorn begins here inherits nothing of this request: the next request, and the timer of the
                # connection, which would keep the record and its span until then.
                await run_in(began, self._send(message))  # type: ignore[arg-type]
            else:
                in_server.set(began)
                await self._send(message)
        except OSError as error:
            record.hung_up(error)
            raise
        except Exception:
            if kind == "websocket.close":
                record.close_refused(message)
            raise
        finally:
            if is_last:
                self._ending = False
                if began is not None and not self._is_uvicorns:
                    in_server.set(None)
        record.sent(kind, message)

    def _notice_hang_up(self) -> None:
        record = self._record
        if not record.disconnected and has_left(self._receive, self._send) and record.awaits_response:
            record.hung_up()

    async def receive(self) -> Message:
        message = None if self._ahead is None else await self._ahead.message()
        if message is None:
            began = self._began
            self._receiving += 1
            if began is not None:
                in_server.set(began)
            try:
                message = await self._receive()
            finally:
                self._receiving -= 1
                if began is not None:
                    in_server.set(None)
        record = self._record
        if record.outcome is None:
            kind = message["type"]
            if kind == "http.request":
                self._body_read = not message.get("more_body")
            elif kind != "http.disconnect" or not self._ending or has_left(self._receive, self._send):
                record.received(message)
        return message


__all__ = ["Channel", "in_server"]
