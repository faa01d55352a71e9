"""How the connections to an application are named, with log line, span and metric agreeing."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

import anyio

from divan_obs_asgi.testing import converse, http_scope, websocket_scope
from divan_obs_asgi.types import ASGIApp, Message, Receive, Scope, Send
from tests.tracing.signals import Signals

_REQUEST: Message = {"type": "http.request", "body": b"", "more_body": False}
_CONNECT: Message = {"type": "websocket.connect"}


def names(
    app: ASGIApp, *connections: str | Scope, started: AbstractAsyncContextManager[Any] | None = None
) -> list[tuple[str, int]]:
    """
    Return route and status of each connection.

    Args:
        connections: a path for GET, or a scope.
        started: what is entered before the first of them.
    """
    signals, found = Signals(), []

    async def connect() -> None:
        async with started or nullcontext():
            for one in connections:
                scope = http_scope(one) if isinstance(one, str) else one
                stack = signals.around(app)
                await converse(stack, scope, [_REQUEST if scope["type"] == "http" else _CONNECT])
                record = signals.agree()
                found.append((record.route, record.status))

    anyio.run(connect)
    return found


def post(path: str) -> Scope:
    return http_scope(path, method="POST")


def websocket(path: str) -> Scope:
    return websocket_scope(path, headers=[(b"host", b"testserver")])


def named_as(app: ASGIApp, routes: dict[str, tuple[str, int]], **options: Any) -> None:
    """Hold an application to a table of paths, each with its route and status."""
    found: Sequence[tuple[str, int]] = names(app, *routes, **options)
    assert dict(zip(routes, found, strict=True)) == routes


class Copying:
    """A middleware that hands a copy of the scope on."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(dict(scope), receive, send)


__all__ = ["Copying", "named_as", "names", "post", "websocket"]
