"""Keep the context variables of a connection's requests apart."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from typing import TYPE_CHECKING, Any

from divan_obs_asgi.exceptions import MiddlewareNotUsed
from divan_obs_asgi.types import CONNECTIONS, ASGIApp, Receive, Scope, Send

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability

CONTEXT_KEY = "divan_obs_asgi.context"

# The context as it was before the request that is being served; seen at the start of another one, it has leaked.
_before: ContextVar[Context | None] = ContextVar("divan_obs_asgi.before", default=None)


class ContextMiddleware:
    """
    Serve every request in the context that the server was started with.

    uvicorn starts a request from within the previous one of its connection where the body was large or the
    client pipelines, and the new task inherits every context variable (PITFALLS P1, Kludex/uvicorn#2912): ids,
    the current span, what the application bound. Such a request is recognised by a variable that only a running
    request has, and is run in a copy of the context from before; all others cost two context variable calls.
    """

    def __init__(self, app: ASGIApp, obs: Observability) -> None:
        if not obs.settings.context_enabled:
            raise MiddlewareNotUsed("OBS_CONTEXT_ENABLED is false")
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # In a stack within a stack the variable is this very request's.
        if scope["type"] not in CONNECTIONS or CONTEXT_KEY in scope:
            await self.app(scope, receive, send)
            return
        leaked = _before.get()
        if leaked is not None:
            clean = leaked.copy()
            await _RunIn(clean, clean.run(self.__call__, scope, receive, send))
            return
        scope[CONTEXT_KEY] = True
        _before.set(copy_context())
        try:
            await self.app(scope, receive, send)
        finally:
            _before.set(None)


class _RunIn:
    """Awaits a coroutine step by step in another context, in the same task."""

    def __init__(self, context: Context, coroutine: Coroutine[Any, Any, None]) -> None:
        self._context = context
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, None]:
        resume, value = self._coroutine.send, None
        argument: Any = value
        while True:
            try:
                awaited = self._context.run(resume, argument)
            except StopIteration:
                return
            try:
                argument = yield awaited
                resume = self._coroutine.send
            except BaseException as error:  # Cancellation comes in here, and belongs to the coroutine.
                argument = error
                resume = self._coroutine.throw


__all__ = ["ContextMiddleware"]
