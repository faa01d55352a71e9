"""Give every connection a server span."""

from __future__ import annotations

from typing import TYPE_CHECKING

from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.exceptions import MiddlewareNotUsed
from divan_obs_asgi.middlewares.base import RecordMiddleware, Undo
from divan_obs_asgi.tracing.excluded_paths import path_matcher
from divan_obs_asgi.types import ASGIApp, Scope

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from divan_obs_asgi.observability import Observability


class TracingMiddleware(RecordMiddleware):
    """
    Continue the caller's trace (W3C Trace Context), or start one, and end its span with the record.

    The response carries the `traceparent` of the span. OBS_TRACING_NATIVE decides about the server span of a framework
    that traces itself. Where OpenTelemetry's instrumentation is suppressed around the connection, there is no server
    span at all.
    """

    component = "tracing"

    def __init__(self, app: ASGIApp, obs: Observability) -> None:
        if obs.spans is None:
            raise MiddlewareNotUsed("OBS_TRACING_ENABLED is false")
        super().__init__(app, obs)
        # These modules import OpenTelemetry.
        from divan_obs_asgi.tracing.frameworks import FrameworkTracing
        from divan_obs_asgi.tracing.propagation.context import current, is_http_suppressed

        self._current = current
        self._is_suppressed = is_http_suppressed
        self._spans = obs.spans
        self._frameworks = FrameworkTracing(app)
        self._excludes = path_matcher(obs.settings.otel.excluded_paths)
        suppresses = obs.settings.tracing.native == "suppress"
        self._skip = self._frameworks.suppress_inner if suppresses else self._frameworks.mark_as_traced
        self._observe_as = {"suppress": self._suppress, "nest": self._nest, "defer": self._defer}[
            obs.settings.tracing.native
        ]

    def observe(self, scope: Scope, record: RequestRecord) -> Undo | None:
        if record.span is not None:
            return None  # A stack further out has traced it.
        if self._excludes is not None and self._excludes(scope["path"]):
            self._skip(scope)
            return None
        context = self._current()
        if context and self._is_suppressed(context):
            self._skip(scope)
            return None
        return self._observe_as(scope, record, self._frameworks.outer_span(scope, called=record.caller is not None))

    def _suppress(self, scope: Scope, record: RequestRecord, around: Span | None) -> Undo | None:
        """One server span, ours; its parent is a framework's span that has started already."""
        self._frameworks.suppress_inner(scope)
        return self._spans.start(scope, record, around)

    def _nest(self, scope: Scope, record: RequestRecord, around: Span | None) -> Undo | None:
        """Two server spans in one trace: the headers make ours the parent of the framework's."""
        undo = self._spans.start(scope, record, around)
        scope["headers"] = self._spans.propagation.headers_with(record.span.get_span_context(), scope["headers"])
        return undo

    def _defer(self, scope: Scope, record: RequestRecord, around: Span | None) -> Undo | None:
        """One server span: the framework's, if it has one; the record takes its ids."""
        if around is not None:
            self._spans.adopt(record, around)
            return None
        if self._frameworks.traces_inside(scope):
            return self._spans.defer(scope, record)
        return self._spans.start(scope, record)


__all__ = ["TracingMiddleware"]
