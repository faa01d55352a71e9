"""Builds the stack: the middlewares around an application."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from divan_obs_asgi.exceptions import ImproperlyConfigured, MiddlewareNotUsed
from divan_obs_asgi.lifecycle.drain import closing
from divan_obs_asgi.observability.stacks import Place
from divan_obs_asgi.ops.own_port import not_on_own_port, serve_on_own_port
from divan_obs_asgi.runtime.gc_freeze import freeze_once
from divan_obs_asgi.stack.lifespan import run_lifespan
from divan_obs_asgi.types import BUNDLE_KEY, CONNECTIONS, ASGIApp, Receive, Scope, Send

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability


class MiddlewareFactory(Protocol):
    """An entry of a middleware list: usually a class, called once at start-up."""

    def __call__(self, app: ASGIApp, obs: Observability, /) -> ASGIApp: ...


class Stack:
    """
    An application inside its middlewares. Runs the library's part of the lifespan.

    Attributes:
        app: the application that was wrapped.
        skipped: the middlewares that are off, each with the reason.
    """

    def __init__(self, chain: ASGIApp, app: ASGIApp, obs: Observability, skipped: dict[str, str]) -> None:
        self._chain = chain
        self.app = app
        self.obs = obs
        self.skipped = skipped
        self._drain = obs.drain
        self._in_flight = obs.drain.in_flight
        if obs.settings.runtime.gc_freeze:
            self._all, self._chain = chain, self._freeze_first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind in CONNECTIONS:
            scope[BUNDLE_KEY] = self.obs
            self._in_flight[kind] += 1
            try:
                await self._chain(scope, receive, closing(scope, send) if self._drain.active else send)
            finally:
                self._in_flight[kind] -= 1
        elif kind == "lifespan":
            await run_lifespan(self._chain, self.obs, scope, receive, send, self)
        else:
            await self._chain(scope, receive, send)

    async def _freeze_first(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Freeze at the first request: a server without a lifespan does not report the end of the start-up."""
        if scope["type"] in CONNECTIONS:
            self._chain = self._all
            freeze_once()
        await self._all(scope, receive, send)


def build_stack(
    app: ASGIApp, obs: Observability, middleware: Sequence[str | MiddlewareFactory] | None = None
) -> ASGIApp:
    """
    Return `app` inside its middlewares, or `app` itself if all of them are off.

    Args:
        middleware: dotted paths or factories, outermost first; default is `OBS_MIDDLEWARE`.

    Raises:
        ImproperlyConfigured: naming every entry that cannot be imported, is not callable, raises or returns None.
    """
    if not obs.settings.enabled:
        return app
    own_port = obs.settings.ops.port if obs.settings.ops.enabled else None
    chain = innermost = app if own_port is None else not_on_own_port(app)
    places: deque[Place] = deque()
    wrong: list[str] = []
    causes: list[Exception] = []
    for entry in reversed(obs.settings.middleware if middleware is None else middleware):
        try:
            name, factory = _imported(entry) if isinstance(entry, str) else _named(entry)
        except ImproperlyConfigured as problem:
            wrong.insert(0, str(problem))
            causes.insert(0, problem)
            continue
        try:
            wrapped = cast("ASGIApp | None", factory(chain, obs))
        except MiddlewareNotUsed as reason:
            places.appendleft(Place(name, str(reason)))
            continue
        except Exception as error:
            # The text of a foreign exception may contain a secret.
            why = str(error).removesuffix(".") if isinstance(error, ImproperlyConfigured) else type(error).__name__
            wrong.insert(0, f"OBS_MIDDLEWARE: {name} raised when it was called with (app, observability): {why}.")
            causes.insert(0, error)
            continue
        if callable(wrapped):
            chain = wrapped
            places.appendleft(Place(name))
        else:
            wrong.insert(0, f"OBS_MIDDLEWARE: {name} returned {wrapped!r}; expected an ASGI application.")
    if wrong:
        raise ImproperlyConfigured("\n".join(wrong)) from (causes[0] if causes else None)
    obs.built_stacks.add(tuple(places))
    skipped = {place.name: place.why_not for place in places if place.why_not is not None}
    if chain is innermost:
        return app
    stack = Stack(chain, app, obs, skipped)
    if own_port is not None:
        serve_on_own_port(stack, obs, own_port)
    return stack


def _named(entry: MiddlewareFactory) -> tuple[str, MiddlewareFactory]:
    if not callable(entry):
        raise ImproperlyConfigured(f"OBS_MIDDLEWARE: {entry!r} is not callable; expected (app, observability) -> app.")
    return getattr(entry, "__qualname__", repr(entry)), entry


def _imported(path: str) -> tuple[str, MiddlewareFactory]:
    module_name, _, attribute = path.rpartition(".")
    try:
        factory = getattr(import_module(module_name), attribute, None) if module_name else None
    except (ImportError, TypeError) as error:
        # The module, or a module that it imports, is missing. A relative path raises TypeError.
        raise ImproperlyConfigured(f"OBS_MIDDLEWARE: {path!r} cannot be imported: {error}.") from error
    except Exception as error:
        raise ImproperlyConfigured(
            f"OBS_MIDDLEWARE: {path!r} cannot be imported: its module raised {type(error).__name__}."
        ) from error
    if not callable(factory):
        raise ImproperlyConfigured(f"OBS_MIDDLEWARE: {path!r} is not callable; expected (app, observability) -> app.")
    return path, cast(MiddlewareFactory, factory)


__all__ = ["MiddlewareFactory", "Stack", "build_stack"]
