"""One line for an application: `init` in place, `wrap` from outside."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from asgiref.compatibility import guarantee_single_callable
from starlette.applications import Starlette

from divan_obs_asgi.connection.routes.wrapped import attribute
from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.logs.termination import flush_on_termination
from divan_obs_asgi.observability import Observability
from divan_obs_asgi.stack.build import build_stack
from divan_obs_asgi.types import ASGIApp, Receive, Scope, Send

# Where `init` leaves the bundle, so that a second call finds it.
_STATE_KEY = "divan_obs_asgi"


def init(app: Starlette, obs: Observability | None = None) -> Observability:
    """
    Observe a Starlette or FastAPI application in place; returns the bundle that does it.

    The stack stands outside the framework's own error middleware, so that an unhandled exception's 500 carries
    the request id, and is built with the application's middlewares, at its first message. A second call changes
    nothing and returns the bundle of the first.

    Raises:
        ImproperlyConfigured: for bad flags, for anything but a Starlette application, and for one that has
            served already.
    """
    if not isinstance(app, Starlette):
        raise ImproperlyConfigured(
            f"init got {type(app).__name__}; expected Starlette or FastAPI. Use wrap for others."
        )
    known = bundle_of(app)
    if known is not None:
        return known
    if app.middleware_stack is not None:
        raise ImproperlyConfigured("init was called after the application has started; call it where the app is made.")
    obs = Observability.from_env() if obs is None else obs
    # Now: unknown paths and broken factories are start-up errors, not the first request's.
    framework = _Framework(app.build_middleware_stack)
    stack = build_stack(framework, obs)
    setattr(app.state, _STATE_KEY, obs)
    if stack is not framework:
        # Starlette calls this once, at the first message; the instance's own attribute goes before its class's method.
        app.build_middleware_stack = lambda: framework.built(stack)  # type: ignore[method-assign]
    _take_over(obs, _calling_module())
    if obs.spans is not None and obs.settings.tracing.native == "suppress":
        _stand_down(app)
    return obs


def wrap(app: ASGIApp, obs: Observability | None = None) -> ASGIApp:
    """
    Return any ASGI application inside the stack; one of ASGI 2, which is called twice, too.

    Raises:
        ImproperlyConfigured: for bad flags.
    """
    obs = Observability.from_env() if obs is None else obs
    app = guarantee_single_callable(app)  # type: ignore[no-untyped-call]
    stack = build_stack(app, obs)
    if stack is not app:
        _take_over(obs, _calling_module())
    return stack


def bundle_of(app: object) -> Observability | None:
    """Return the bundle that `init` has given an application; None of any other."""
    known = attribute(attribute(app, "state"), _STATE_KEY)
    return known if isinstance(known, Observability) else None


def _calling_module() -> str:
    """Return the name of the module that called `init` or `wrap`: it is the application's."""
    module = sys._getframe(2).f_globals
    # Under `python -m shop` the module is called __main__, and its package is shop.
    return str(module.get("__package__") or module.get("__name__") or "")


def _take_over(obs: Observability, application: str) -> None:
    """Set what a process has one of: the root logger's handler, the global tracer provider, the clients' spans."""
    if not obs.settings.enabled:
        return
    if obs.settings.logs.enabled:
        settings = obs.settings
        obs.log.install(
            own_access_line=settings.logs.access_enabled, application=application, prints=settings.logs.prints
        )
    if obs.spans is not None:
        from divan_obs_asgi.tracing.provider import make_global

        make_global(obs.spans.provider)
        obs.spans.clients.instrument()
        flush_on_termination()


def _stand_down(app: Starlette) -> None:
    """
    Switch FastAPI's own server span off.

    It starts outside of what `init` can reach and is on as soon as there is a global provider. The dictionary
    is FastAPI's `telemetry=` argument, kept under a private name; other settings in it stay as they are.
    """
    telemetry: Any = getattr(app, "_telemetry", None)
    if isinstance(telemetry, dict):
        telemetry["tracing"] = False


class _Framework:
    """The framework's own stack, which is not there before the first message."""

    def __init__(self, build: Callable[[], ASGIApp]) -> None:
        self._build = build
        self._failure: Exception | None = None
        self.app: ASGIApp | None = None

    def built(self, stack: ASGIApp) -> ASGIApp:
        """
        Build it, and return `stack`, which stands around this.

        What a middleware of the application raises then is raised from within the stack, which logs it.
        """
        try:
            self.app = self._build()
        except Exception as error:
            self._failure = error
        return stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.app is None:
            failure, self._failure = self._failure, None
            if failure is not None:
                raise failure
            # As Starlette does at each message until it succeeds.
            self.app = self._build()
        await self.app(scope, receive, send)


__all__ = ["bundle_of", "init", "wrap"]
