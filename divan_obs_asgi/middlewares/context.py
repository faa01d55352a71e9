"""Isolates the context variables of the requests of a connection."""

from __future__ import annotations

from contextvars import copy_context
from typing import TYPE_CHECKING

from divan_obs_asgi.connection.channel import in_server
from divan_obs_asgi.connection.contexts import run_in
from divan_obs_asgi.connection.record import CONTEXT_KEY, RECORD_KEY
from divan_obs_asgi.exceptions import MiddlewareNotUsed
from divan_obs_asgi.middlewares.base import RecordMiddleware
from divan_obs_asgi.types import CONNECTIONS, ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability


class ContextMiddleware:
    """
    Serve every request in the context that the server was started with.

    uvicorn starts a request from within the previous one of its connection where the body was large or the
    client pipelines. The new task inherits every context variable (Kludex/uvicorn#2912): ids, the current span, fields
    of the application. uvicorn does this inside its `send` or `receive`. Its last `send` of a response therefore runs
    in a copy of the context in which the request began. In `receive`, and in the `send` of other servers, this
    middleware sets a variable, and a request that begins with that variable set runs in such a copy.

    A request that the application makes within the process, such as by httpx's `ASGITransport`, does not begin inside
    of `send` or `receive`, and keeps its caller's variables.
    """

    def __init__(self, app: ASGIApp, obs: Observability) -> None:
        if not obs.settings.requests.context_enabled:
            raise MiddlewareNotUsed("OBS_CONTEXT_ENABLED is false")
        self.app = app
        # The next middleware opens a record, whose channel sets the variable.
        self._has_record = isinstance(app, RecordMiddleware) and type(app).__call__ is RecordMiddleware.__call__

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # In a stack within a stack the key is of this request.
        if scope["type"] not in CONNECTIONS or CONTEXT_KEY in scope:
            await self.app(scope, receive, send)
            return
        began = in_server.get()
        if began is not None:
            clean = began.copy()
            await run_in(clean, clean.run(self.__call__, scope, receive, send))
            return
        if scope["type"] == "websocket":
            # No request follows on its connection (RFC 6455, section 4.1).
            scope[CONTEXT_KEY] = None
            await self.app(scope, receive, send)
            return
        if self._has_record and RECORD_KEY not in scope:
            scope[CONTEXT_KEY] = copy_context()
            await self.app(scope, receive, send)
            return
        scope[CONTEXT_KEY] = None
        server = _Server(receive, send)
        await self.app(scope, server.receive, server.send)


class _Server:
    """The `receive` and `send` of a server, with the variable set while they run."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._began = copy_context()
        self._receive = receive
        self._send = send

    async def receive(self) -> Message:
        in_server.set(self._began)
        try:
            return await self._receive()
        finally:
            in_server.set(None)

    async def send(self, message: Message) -> None:
        in_server.set(self._began)
        try:
            await self._send(message)
        finally:
            in_server.set(None)


__all__ = ["ContextMiddleware"]
