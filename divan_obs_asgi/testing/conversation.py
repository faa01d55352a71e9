"""Call an application with ASGI messages, without a server."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import anyio

from divan_obs_asgi.connection.headers import with_lasting_headers
from divan_obs_asgi.types import ASGIApp, Message, RawHeaders, Scope

_LAST = ("http.response.body", "websocket.close", "websocket.http.response.body")
_GONE: Message = {"type": "http.disconnect"}


@dataclass
class Conversation:
    """
    The messages and the exception of an application.

    Attributes:
        sent: its messages, in order, as the server receives them.
        error: its exception, if it raised one.
    """

    sent: list[Message] = field(default_factory=list)
    error: BaseException | None = None

    @property
    def status(self) -> int | None:
        """The status of the response; None if no response was started."""
        return next((message["status"] for message in self.sent if "status" in message), None)

    @property
    def body(self) -> bytes:
        """The body of the response."""
        return b"".join(message.get("body", b"") for message in self.sent)

    def header(self, name: bytes) -> list[bytes]:
        """Return all values of a response header, given in lower case."""
        headers = (pair for message in self.sent for pair in message.get("headers", ()))
        return [bytes(value) for key, value in headers if bytes(key).lower() == name]


async def converse(
    app: ASGIApp, scope: Scope, incoming: Iterable[Message] = (), *, hangs_up_after: int | None = None
) -> Conversation:
    """
    Call `app` and return its messages; its exceptions are returned as well, cancellation is raised.

    Args:
        incoming: the messages that `receive` returns. After the last one it waits until the application has ended the
            response or closed the WebSocket, and then returns a disconnect, as servers do.
        hangs_up_after: after this number of messages `send` raises OSError, as servers do after a disconnect
            (ASGI 2.4).
    """
    conversation = Conversation()
    messages = iter(incoming)
    ended = anyio.Event()

    async def receive() -> Message:
        for message in messages:
            return message
        await ended.wait()
        return {"type": "websocket.disconnect", "code": 1000} if scope["type"] == "websocket" else _GONE

    async def send(message: Message) -> None:
        if hangs_up_after is not None and len(conversation.sent) >= hangs_up_after:
            raise OSError("the client has disconnected")
        conversation.sent.append(with_lasting_headers(message))
        if message["type"] in _LAST and not message.get("more_body", False):
            ended.set()

    try:
        await app(scope, receive, send)
    except anyio.get_cancelled_exc_class():
        raise
    except BaseException as error:
        conversation.error = error
    return conversation


def http_scope(
    path: str = "/", *, method: str = "GET", headers: Sequence[tuple[bytes, bytes]] = ((b"host", b"testserver"),)
) -> Scope:
    """Return a new HTTP scope like uvicorn's."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        **_common(path, headers, "http"),
    }


def websocket_scope(path: str = "/", *, headers: Sequence[tuple[bytes, bytes]] = ()) -> Scope:
    """Return a new WebSocket scope of a server that supports denial responses."""
    return {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}},
        **_common(path, headers, "ws"),
    }


def _common(path: str, headers: Sequence[tuple[bytes, bytes]], scheme: str) -> dict[str, object]:
    raw: RawHeaders = list(headers)
    return {
        "scheme": scheme,
        "path": path,
        "raw_path": path.encode("utf-8", "surrogateescape"),
        "query_string": b"",
        "root_path": "",
        "headers": raw,
        "client": ("192.0.2.7", 51234),
        "server": ("testserver", 80),
        "state": {},
    }


__all__ = ["Conversation", "converse", "http_scope", "websocket_scope"]
