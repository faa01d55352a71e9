"""
Frameworks that make their own server spans. Requires the extra `tracing`.

`FrameworkTracing` finds such a framework around or inside of our middleware, and switches its spans off for a
connection. With OBS_TRACING_NATIVE=defer the framework's span is used instead of ours: the sampler, the processor and
the id generator below copy its ids to the record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from threading import Lock
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import SamplingResult
from opentelemetry.trace import Link, Span, SpanKind, TraceState, format_span_id, format_trace_id, get_current_span
from opentelemetry.util.types import Attributes

from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.tracing.propagation import traceparent
from divan_obs_asgi.tracing.propagation.context import current
from divan_obs_asgi.tracing.sampling import TraceSampler
from divan_obs_asgi.types import CONNECTIONS, Scope

# FastAPI >= 0.165 and Starlette >= 1.10 make no span for a request whose scope has these keys. Both keys are private;
# tests run against the oldest and the newest versions of both frameworks.
_FASTAPI = "fastapi.telemetry"
_STARLETTE = "starlette.opentelemetry"
# Compared by name, as FastAPI itself does: neither of them has to be installed.
_STARLETTE_MIDDLEWARE = "starlette.middleware.opentelemetry"
_CONTRIB_MIDDLEWARE = "opentelemetry.instrumentation.asgi"
_CONTRIB_SCOPES = "opentelemetry.instrumentation."
# The SDK sets the flag `random` of its spans since 1.42. What a response says is what outgoing calls say.
_SDK_SETS_RANDOM = hasattr(IdGenerator, "is_trace_id_random")
# The number of nested applications to search. A deeper stack is a loop.
_MAX_LAYERS = 64

# The record of the connection whose framework has not started its span yet.
awaiting_span: ContextVar[RequestRecord | None] = ContextVar("divan_obs_asgi.awaiting_span", default=None)


class FrameworkTracing:
    """
    The tracing of frameworks around our middleware and inside of it.

    Args:
        app: the application that our middleware wraps. It is searched at the first connection: earlier, a framework
            has not built its middleware stack, and an instrumentor may still be applied.
    """

    def __init__(self, app: object) -> None:
        self._app = app
        self._lock = Lock()
        self._inner = _InnerTracing()

    def outer_span(self, scope: Scope, *, called: bool) -> Span | None:
        """
        Return the span of a framework around our middleware, if there is one.

        The current span alone is not enough: it may have leaked from another request, or, if `called`, it is the span
        of a caller in this process.
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
        return span if scope.get(_STARLETTE) is True or (not called and _is_live_contrib_span(span)) else None

    def traces_inside(self, scope: Scope) -> bool:
        """Return whether a framework inside our middleware makes server spans for connections of this type."""
        return scope["type"] in self._search().traced

    def suppress_inner(self, scope: Scope) -> None:
        """Prevent server spans inside our middleware for this connection."""
        self.mark_as_traced(scope)
        if not self._inner.searched:
            for middleware in self._search().contrib:
                # Its own option for paths without tracing; this value excludes all paths.
                middleware.excluded_urls = _ALL_URLS

    @staticmethod
    def mark_as_traced(scope: Scope) -> None:
        """Make FastAPI and Starlette skip their span; OpenTelemetry's own middleware ignores these keys."""
        if _FASTAPI not in scope:
            scope[_FASTAPI] = None
        scope[_STARLETTE] = True

    def _search(self) -> _InnerTracing:
        inner = self._inner
        if not inner.searched:
            with self._lock:
                inner.search(self._app)
        return inner


class _InnerTracing:
    """The tracing that was found inside our middleware; it is the same for every connection."""

    def __init__(self) -> None:
        self.searched = False
        self.traced: set[str] = set()
        self.contrib: list[Any] = []

    def search(self, app: object) -> None:
        if self.searched:
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
        self.searched = True


class _AllUrls:
    """Replaces opentelemetry.util.http.ExcludeList and excludes every URL."""

    def url_disabled(self, url: str) -> bool:
        return True


_ALL_URLS = _AllUrls()


def _layers(app: Any) -> Iterator[object]:
    for _ in range(_MAX_LAYERS):
        yield app
        if hasattr(app, "middleware_stack") and hasattr(app, "build_middleware_stack"):
            if app.middleware_stack is None:
                # Starlette would do the same with the message that it is about to get, its first one.
                app.middleware_stack = app.build_middleware_stack()
            app = app.middleware_stack
        else:
            app = getattr(app, "app", None) or getattr(app, "other_asgi_app", None)
        if app is None:
            return


def _is_live_contrib_span(span: Span) -> bool:
    if not isinstance(span, ReadableSpan) or span.end_time is not None:
        return False
    scope = span.instrumentation_scope
    return scope is not None and scope.name.startswith(_CONTRIB_SCOPES)


class AdoptingSpanProcessor(SpanProcessor):
    """Passes the first server span of a connection that awaits one to `adopt`, together with the record."""

    def __init__(self, adopt: Callable[[RequestRecord, Span], None]) -> None:
        self._adopt = adopt

    def on_start(self, span: SdkSpan, parent_context: Context | None = None) -> None:
        record = awaiting_span.get()
        if record is not None and span.kind is SpanKind.SERVER:
            awaiting_span.set(None)
            self._adopt(record, span)


class AdoptingSampler(TraceSampler):
    """
    Copies the trace id of an unsampled server span to the record; span processors are not called for such a span.

    The SDK calls the sampler first and its id generator directly afterwards, for the span's id.
    """

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes | None = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        result = super().should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)
        record = awaiting_span.get()
        if record is not None and kind is SpanKind.SERVER and not result.decision.is_sampled():
            record.trace_id = format_trace_id(trace_id)
            record.sampled = False
            caller = get_current_span(parent_context).get_span_context()
            record.random_trace = bool(caller.trace_flags & traceparent.RANDOM) if caller.is_valid else _SDK_SETS_RANDOM
        return result


class AdoptingIdGenerator(RandomIdGenerator):
    """Copies the span id of an unsampled server span to the record, then calls `on_unsampled`."""

    def __init__(self, on_unsampled: Callable[[RequestRecord], None]) -> None:
        self._on_unsampled = on_unsampled

    def generate_span_id(self) -> int:
        span_id = super().generate_span_id()
        record = awaiting_span.get()
        if record is not None and record.sampled is False:
            awaiting_span.set(None)
            record.span_id = format_span_id(span_id)
            self._on_unsampled(record)
        return span_id


__all__ = ["AdoptingIdGenerator", "AdoptingSampler", "AdoptingSpanProcessor", "FrameworkTracing", "awaiting_span"]
