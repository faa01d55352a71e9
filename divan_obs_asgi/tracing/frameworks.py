"""Frameworks that trace themselves: how they are found, and told to stand down. Imported only where tracing is on."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Lock
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Span, get_current_span

from divan_obs_asgi.tracing.propagation.context import current
from divan_obs_asgi.types import CONNECTIONS, Scope

# FastAPI >= 0.165 and Starlette >= 1.10 leave the first request that has these keys alone. Both are
# private to them; tests at their oldest and newest versions watch.
_FASTAPI = "fastapi.telemetry"
_STARLETTE = "starlette.opentelemetry"
# By name, as FastAPI itself does it: neither has to be installed.
_STARLETTE_MIDDLEWARE = "starlette.middleware.opentelemetry"
_CONTRIB_MIDDLEWARE = "opentelemetry.instrumentation.asgi"
_CONTRIB_SCOPES = "opentelemetry.instrumentation."
# How many wrappers to look through. Deeper stacks than this are loops.
_MAX_LAYERS = 64


class NativeSpans:
    """
    The tracing that stands around our middleware, or inside of it.

    Args:
        app: what our middleware wraps. It is looked through at the first connection: before that a framework has not
            built its chain, and an instrumentor may still come.
    """

    def __init__(self, app: object) -> None:
        self._app = app
        self._lock = Lock()
        self._looked = _Looked()

    def around(self, scope: Scope, *, called: bool) -> Span | None:
        """
        Return the span of a framework whose tracing stands outside of our middleware.

        A current span alone is none: it may have leaked from another request, and where one of this process has
        `called` it is the caller's.
        """
        telemetry = scope.get(_FASTAPI)
        if telemetry is not None:
            span: Span | None = getattr(telemetry, "span", None)
            if span is not None:
                return span
        if not current():
            return None
        span = get_current_span()
        if not span.get_span_context().is_valid:
            return None
        return span if scope.get(_STARLETTE) is True or (not called and _is_live_of_contrib(span)) else None

    def inside(self, scope: Scope) -> bool:
        """Tell whether something inside our middleware makes server spans of connections like this one."""
        return scope["type"] in self._look().traced

    def stand_down(self, scope: Scope) -> None:
        """Have what is inside our middleware make no server span for this connection."""
        self.hide_from(scope)
        if not self._looked.done:
            for middleware in self._look().contrib:
                # Its own option for paths without tracing, for all of them.
                middleware.excluded_urls = _EVERYTHING

    @staticmethod
    def hide_from(scope: Scope) -> None:
        """Have frameworks make no server span for this connection; OpenTelemetry's own middleware does not look."""
        if _FASTAPI not in scope:
            scope[_FASTAPI] = None
        scope[_STARLETTE] = True

    def _look(self) -> _Looked:
        looked = self._looked
        if not looked.done:
            with self._lock:
                looked.look_through(self._app)
        return looked


class _Looked:
    """What was found; all of it is the same for every connection."""

    def __init__(self) -> None:
        self.done = False
        self.traced: set[str] = set()
        self.contrib: list[Any] = []

    def look_through(self, app: object) -> None:
        if self.done:
            return
        for layer in _layers(app):
            module = type(layer).__module__
            if module == _CONTRIB_MIDDLEWARE:
                self.contrib.append(layer)
            elif module == _STARLETTE_MIDDLEWARE:
                self.traced.add("http")
            native = getattr(layer, "_native_telemetry", None)
            if module == _CONTRIB_MIDDLEWARE or (native is not None and native.config["tracing"] and native.enabled()):
                self.traced.update(CONNECTIONS)
        self.done = True


class _Everything:
    """Stands for opentelemetry.util.http.ExcludeList."""

    def url_disabled(self, url: str) -> bool:
        return True


_EVERYTHING = _Everything()


def _layers(app: Any) -> Iterator[object]:
    for _ in range(_MAX_LAYERS):
        yield app
        if hasattr(app, "middleware_stack") and hasattr(app, "build_middleware_stack"):
            if app.middleware_stack is None:
                # What Starlette itself is about to do with this, its first message.
                app.middleware_stack = app.build_middleware_stack()
            app = app.middleware_stack
        else:
            app = getattr(app, "app", None) or getattr(app, "other_asgi_app", None)
        if app is None:
            return


def _is_live_of_contrib(span: Span) -> bool:
    if not isinstance(span, ReadableSpan) or span.end_time is not None:
        return False
    scope = span.instrumentation_scope
    return scope is not None and scope.name.startswith(_CONTRIB_SCOPES)


__all__ = ["NativeSpans"]
