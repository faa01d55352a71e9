"""OpenTelemetry's current context, read and set in one step. Imported only where tracing is on."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, copy_context

from opentelemetry import context as otel_context
from opentelemetry.context import _SUPPRESS_HTTP_INSTRUMENTATION_KEY, _SUPPRESS_INSTRUMENTATION_KEY, Context

# What `suppress_instrumentation` and `suppress_http_instrumentation` of opentelemetry-instrumentation set; the second
# for those that knew it by its plain name.
_SUPPRESSED = (_SUPPRESS_INSTRUMENTATION_KEY, "suppress_instrumentation")


def _variable() -> ContextVar[Context] | None:
    """Return the variable in which OpenTelemetry keeps its context, found out by its public functions."""
    mark = Context({"divan_obs_asgi.mark": True})
    token = otel_context.attach(mark)
    try:
        return next((variable for variable, value in copy_context().items() if value is mark), None)
    finally:
        otel_context.detach(token)


_found = _variable()
# Half of what OpenTelemetry's own functions cost, which serve where it is kept elsewhere (OTEL_PYTHON_CONTEXT).
current: Callable[[], Context] = _found.get if _found is not None else otel_context.get_current
make_current: Callable[[Context], object] = _found.set if _found is not None else otel_context.attach


def is_suppressed(context: Context) -> bool:
    """Tell whether somebody wants no spans but those that they start themselves."""
    return bool(context) and any(context.get(key) for key in _SUPPRESSED)


def is_http_suppressed(context: Context) -> bool:
    """Tell whether somebody wants no spans of HTTP."""
    return bool(context) and bool(is_suppressed(context) or context.get(_SUPPRESS_HTTP_INSTRUMENTATION_KEY))


__all__ = ["current", "is_http_suppressed", "is_suppressed", "make_current"]
