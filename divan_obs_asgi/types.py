"""The shapes of ASGI 3, and of what a middleware list may hold."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
RawHeaders: TypeAlias = list[tuple[bytes, bytes]]

ConnectionKind: TypeAlias = Literal["http", "websocket"]
Outcome: TypeAlias = Literal["ok", "error", "error_after_start", "client_disconnect", "cancelled", "incomplete"]

# The scopes that are a conversation with a client; "lifespan" and what a later ASGI brings are not.
CONNECTIONS = frozenset({"http", "websocket"})


class MiddlewareFactory(Protocol):
    """What a middleware list names: usually a class, called once at start-up."""

    def __call__(self, app: ASGIApp, obs: Observability, /) -> ASGIApp: ...


__all__ = [
    "CONNECTIONS",
    "ASGIApp",
    "ConnectionKind",
    "Message",
    "MiddlewareFactory",
    "Outcome",
    "RawHeaders",
    "Receive",
    "Scope",
    "Send",
]
