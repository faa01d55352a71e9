"""Installs the stack with one line: `init` for Starlette and FastAPI, `wrap` for any ASGI application."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from typing import Any

from asgiref.compatibility import guarantee_single_callable
from starlette.applications import Starlette

from divan_obs_asgi.clients.patches import WaitTiming
from divan_obs_asgi.connection.routes.wrapped import attribute
from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.logs.termination import flush_on_termination
from divan_obs_asgi.observability import Observability
from divan_obs_asgi.stack.build import build_stack
from divan_obs_asgi.types import ASGIApp, Receive, Scope, Send

# The attribute of `app.state` with the bundle, for a second call of `init`.
_STATE_KEY = "divan_obs_asgi"


def init(app: Starlette, obs: Observability | None = None) -> Observability:
    """
    Observe a Starlette or FastAPI application in place, and return its bundle.

    The stack encloses the framework's error middleware, so that the 500 for an unhandled exception has the request
    id. A second call changes nothing and returns the bundle of the first.

    Raises:
        ImproperlyConfigured: for bad flags, for anything but a Starlette application, and for an application that has
            already started.
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
    # Now, and not at the first request: unknown paths and broken factories are start-up errors.
    framework = _LazyFramework(app.build_middleware_stack)
    stack = build_stack(framework, obs)
    setattr(app.state, _STATE_KEY, obs)
    if stack is not framework:
        # Starlette calls this once, at the first message; the attribute of the instance overrides the method.
        app.build_middleware_stack = lambda: framework.built(stack)  # type: ignore[method-assign]
    _set_process_globals(obs, _calling_module())
    if obs.spans is not None and obs.settings.tracing.native == "suppress":
        _disable_fastapi_spans(app)
    return obs


def wrap(app: ASGIApp, obs: Observability | None = None) -> ASGIApp:
    """
    Return any ASGI application inside the stack; applications of ASGI 2, which are called twice, are supported.

    Raises:
        ImproperlyConfigured: for bad flags.
    """
    obs = Observability.from_env() if obs is None else obs
    app = guarantee_single_callable(app)  # type: ignore[no-untyped-call]
    stack = build_stack(app, obs)
    if stack is not app:
        _set_process_globals(obs, _calling_module())
    return stack


def bundle_of(app: object) -> Observability | None:
    """Return the bundle that `init` has set on an application; None for others."""
    known = attribute(attribute(app, "state"), _STATE_KEY)
    return known if isinstance(known, Observability) else None


def _calling_module() -> str:
    """Return the name of the module that called `init` or `wrap`: it belongs to the application."""
    module = sys._getframe(2).f_globals
    # Under `python -m shop` the name of the module is __main__, and its package is shop.
    return str(module.get("__package__") or module.get("__name__") or "")


def _set_process_globals(obs: Observability, application: str) -> None:
    """Set up what exists once in a process: the root logger's handler, the global tracer provider, spans of clients."""
    # Now, because the first `obs.span` or `obs.carry` would do it in a request, and the former compiles a policy.
    import divan_obs_asgi.connection.threads
    import divan_obs_asgi.tracing.spans.global_spans  # noqa: F401

    if not obs.settings.enabled:
        return
    if obs.settings.logs.enabled:
        settings = obs.settings
        obs.log.install(
            own_access_line=settings.logs.access_enabled, application=application, prints=settings.logs.prints
        )
    if obs.settings.requests.wait_times_enabled:
        _time_waits(obs)
    if obs.spans is not None:
        from divan_obs_asgi.tracing.provider import make_global

        if not obs.settings.otel.disabled:
            make_global(obs.spans.provider)
        obs.spans.clients.instrument()
        flush_on_termination()


def _time_waits(obs: Observability) -> None:
    """Time the calls of client libraries: of those that are loaded now, and of those loaded at start-up."""
    timing = WaitTiming()
    timing.start()
    obs.background.when_started("wait_times", timing.start)
    weakref.finalize(obs, timing.stop).atexit = False


def _disable_fastapi_spans(app: Starlette) -> None:
    """
    Switch off FastAPI's own server span, which is on as soon as there is a global provider.

    It starts outside of the stack. The dictionary is FastAPI's `telemetry=` argument under its private name; other
    settings in it are kept.
    """
    telemetry: Any = getattr(app, "_telemetry", None)
    if isinstance(telemetry, dict):
        telemetry["tracing"] = False


class _LazyFramework:
    """The framework's own middleware stack, which is built at the first message."""

    def __init__(self, build: Callable[[], ASGIApp]) -> None:
        self._build = build
        self._failure: Exception | None = None
        self.app: ASGIApp | None = None

    def built(self, stack: ASGIApp) -> ASGIApp:
        """
        Build it, and return `stack`, which encloses it.

        An exception of a middleware's constructor is raised later, inside the stack, which logs it.
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
            # Like Starlette, try again at each message until it succeeds.
            self.app = self._build()
        await self.app(scope, receive, send)


__all__ = ["bundle_of", "init", "wrap"]
