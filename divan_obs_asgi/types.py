"""The types of ASGI 3."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Literal, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
RawHeaders: TypeAlias = list[tuple[bytes, bytes]]

# The application's own check for the guarded endpoints: True allows a request.
Authorize: TypeAlias = Callable[[Scope], bool | Awaitable[bool]]

# An "event" is one call of a Socket.IO handler.
ConnectionKind: TypeAlias = Literal["http", "websocket", "event"]
# A protocol server inside of the application, such as Engine.IO, has "refused" something that the client has sent.
Outcome: TypeAlias = Literal[
    "ok", "error", "error_after_start", "client_disconnect", "cancelled", "incomplete", "refused"
]

# The scopes of clients. "lifespan", and types of a later ASGI, are not among them.
CONNECTIONS = frozenset({"http", "websocket"})
# The key in a connection's scope for the bundle of the innermost stack around the application.
BUNDLE_KEY = "divan_obs_asgi.bundle"

__all__ = [
    "BUNDLE_KEY",
    "CONNECTIONS",
    "ASGIApp",
    "Authorize",
    "ConnectionKind",
    "Message",
    "Outcome",
    "RawHeaders",
    "Receive",
    "Scope",
    "Send",
]
