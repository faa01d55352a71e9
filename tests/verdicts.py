"""A second opinion of how a connection ends: by what its server saw, and not by the record that is under test."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Literal

import anyio

from divan_obs_asgi.types import ASGIApp, Message, Scope

What = Literal["received", "sent", "ignored", "lost", "refused", "ended"]

# What ASGI allows: by the state of a connection, what a message means, and the state after it.
_ALLOWED: dict[str, dict[str, str]] = {
    "new": {
        "start": "response",
        "start, with trailers to come": "response with trailers",
        "aside": "new",
        "accept": "websocket",
        "close": "over",
    },
    "response": {"part": "response", "last part": "over", "aside": "response"},
    "response with trailers": {"part": "response with trailers", "last part": "trailers"},
    "trailers": {"trailers": "trailers", "last trailers": "over"},
    "websocket": {"message": "websocket", "close": "over"},
    "over": {},
}
_MEANINGS = {
    "http.response.pathsend": "last part",
    "http.response.early_hint": "aside",
    "http.response.push": "aside",
    "websocket.accept": "accept",
    "websocket.close": "close",
    "websocket.send": "message",
}
# RFC 6455, section 7.4.1: what is a goodbye of a client, or of a server that ends, and what a failure.
_GOODBYES = (1000, 1001, 1005, 1012)
_FAILURES = (1011, 1012, 1013, 1014)
_WITHOUT_BODY = (204, 304)
# How servers, and Starlette, tell an application that its client has gone.
_NEWS = ("ClientDisconnect", "OSError", "WebSocketDisconnect")


def meaning(message: Message) -> str:
    """Return what a message means to a server."""
    kind = message["type"]
    if kind in _MEANINGS:
        return _MEANINGS[kind]
    if kind.endswith("start"):
        return "start, with trailers to come" if message.get("trailers") else "start"
    name = "trailers" if kind.endswith("trailers") else "part"
    return name if message.get("more_body") or message.get("more_trailers") else f"last {name}"


@dataclass(frozen=True)
class Seen:
    """
    One event between a server and an application.

    Attributes:
        what: "received" and "sent" by the application; "ignored", as servers do once the client has gone; "lost", where
            `send` raised OSError for that; "refused", where `send` raised RuntimeError for what ASGI does not allow;
            "ended", the call itself.
        state: of the connection, after it.
    """

    what: What
    message: Message
    state: str
    at: float = field(default_factory=perf_counter)

    @property
    def is_the_clients_end(self) -> bool:
        return self.what == "lost" or (self.what == "received" and self.message["type"].endswith(".disconnect"))


class Server:
    """
    A server that keeps to ASGI, and a protocol of one connection.

    Attributes:
        seen: that protocol.
        called, entered: when it has called the stack, and the stack the application.
        error: what came out.
    """

    def __init__(self, incoming: Iterable[Message], hangs_up_after: int | None = None, strict: bool = True) -> None:
        self._incoming = iter(incoming)
        self._hangs_up_after = hangs_up_after
        self._strict = strict
        self._patience: anyio.CancelScope | None = None
        self.state = "new"
        self.seen: list[Seen] = []
        self.called = self.entered = 0.0
        self.error: BaseException | None = None

    async def serve(self, app: ASGIApp, scope: Scope) -> None:
        """Call the application once; one that would wait for ever is cancelled."""
        with anyio.CancelScope() as self._patience:
            self.called = perf_counter()
            try:
                await app(scope, self._receive, self._send)
            except BaseException as error:
                self.error = error
                if isinstance(error, anyio.get_cancelled_exc_class()):
                    raise
            finally:
                self._see("ended", {"type": "end"})

    async def give_up(self) -> None:
        """Cancel the request, as at a shutdown."""
        assert self._patience is not None
        self._patience.cancel()
        await anyio.sleep_forever()

    def _see(self, what: What, message: Message) -> None:
        self.seen.append(Seen(what, message, self.state))

    def _sent(self) -> int:
        return sum(one.what == "sent" for one in self.seen)

    async def _receive(self) -> Message:
        for message in self._incoming:
            self._see("received", message)
            return message
        await self.give_up()
        raise AssertionError("unreachable")

    async def _send(self, message: Message) -> None:
        if self._hangs_up_after is not None and self._sent() >= self._hangs_up_after:
            self._see("lost", message)
            raise OSError("the client has gone")
        if any(seen.is_the_clients_end for seen in self.seen):
            self._see("ignored", message)
            return
        after = _ALLOWED[self.state].get(meaning(message))
        if after is None and self._strict:
            self._see("refused", message)
            raise RuntimeError(f"{message['type']} is not expected now")
        self.state = after or self.state
        self._see("sent", message)


@dataclass(frozen=True)
class Verdict:
    """
    What is true of a connection, whoever tells it.

    Attributes:
        failure: the name of the exception by which the application failed.
        late: the name of the one that came when the response had ended.
        answered_nobody: whether it has answered a client that had left; then nobody knows what it failed at.
        lasted: the least and the most that the duration can be.
    """

    outcome: str
    status: int
    started: bool
    size: int
    failure: str | None
    late: str | None
    answered_nobody: bool
    close_code: int | None
    messages: dict[str, int]
    lasted: tuple[float, float]


def verdict(server: Server, scope: Scope, handled: BaseException | None = None) -> Verdict:
    """
    Judge a connection by the protocol of its server, which was strict.

    Args:
        handled: the exception that the application was handling while it answered.
    """
    seen = server.seen
    left = next((at for at, one in enumerate(seen) if one.is_the_clients_end), None)
    over = next((at for at, one in enumerate(seen) if one.what == "sent" and one.state == "over"), None)
    live = seen[: left if over is None else over + 1]
    sent = [one.message for one in live if one.what == "sent"]
    start = next((message for message in sent if message["type"].endswith(("start", "accept"))), None)
    status = start.get("status", 101) if start is not None else 0
    closing = sent[-1] if sent and sent[-1]["type"] == "websocket.close" else None
    code: int | None = None
    error = server.error if over is None else None
    failed = isinstance(error, Exception) and type(error).__name__ not in _NEWS

    late = server.error if over is not None and isinstance(server.error, Exception) else None
    if closing is not None:
        code, status = (closing["code"], 101) if start is not None else (None, 403)
        outcome = "error" if code in _FAILURES else "ok"
    elif over is not None:
        outcome = "error" if status >= 500 else "ok"
        if status >= 500 and late is handled:
            late = None  # A framework raises again what it has answered.
        if late is not None and status < 500 and _is_doubtful(scope, sent[-1], handled):
            # An empty end, as that of a stream which broke off behind Starlette's BaseHTTPMiddleware.
            error, late = late, None
            failed = type(error).__name__ not in _NEWS
            outcome = "error_after_start" if failed else "ok"
    elif left is not None:
        outcome = "client_disconnect"
        if seen[left].message["type"] == "websocket.disconnect" and status == 101:
            code = seen[left].message["code"]
            if code in _GOODBYES:
                outcome = "error_after_start" if failed else "ok"
    elif error is None:
        outcome = "incomplete"
    elif not isinstance(error, Exception):
        outcome = "cancelled"
    else:
        outcome, status = ("error_after_start", status) if start is not None else ("error", 500)
    if error is None and start is not None and status >= 500:
        error, failed = handled, handled is not None
    return Verdict(
        outcome,
        status,
        started=start is not None,
        size=_size(sent) if scope.get("method") != "HEAD" and status not in _WITHOUT_BODY else 0,
        failure=type(error).__name__ if failed else None,
        late=type(late).__name__ if late is not None else None,
        answered_nobody=any(one.what == "ignored" and meaning(one.message).startswith("last") for one in seen),
        close_code=code,
        messages=_messages(live),
        lasted=_lasted(server, over, left, exactly=code is not None),
    )


def _is_doubtful(scope: Scope, last: Message, handled: BaseException | None) -> bool:
    is_body = scope["type"] == "http" and last["type"] == "http.response.body"
    return is_body and (not last.get("body") or handled is not None)


def _size(sent: Iterable[Message]) -> int:
    return sum(len(message.get("body", b"")) + message.get("count", 0) for message in sent)


def _messages(live: Iterable[Seen]) -> dict[str, int]:
    kinds = [one.message["type"] for one in live if one.what in ("received", "sent")]
    return {"in": kinds.count("websocket.receive"), "out": kinds.count("websocket.send")}


def _lasted(server: Server, over: int | None, left: int | None, *, exactly: bool) -> tuple[float, float]:
    """From the call to the event that ended it; each can be late by what the stack does between two events."""
    seen = server.seen
    if over is not None or exactly:
        end = over if over is not None else left
        assert end is not None
        return seen[end].at - server.entered, seen[end + 1].at - server.called
    # An application may answer to a client that has left: the record ends with the answer, or with the application.
    first = left if left is not None else len(seen) - 2
    return (seen[first].at if first >= 0 else server.entered) - server.entered, perf_counter() - server.called


__all__ = ["Seen", "Server", "Verdict", "meaning", "verdict"]
