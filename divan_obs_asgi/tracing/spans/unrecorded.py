"""Client calls below an unrecorded span skip their instrumentation. Requires the extra `tracing`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from opentelemetry import propagate
from opentelemetry.trace import get_current_span

from divan_obs_asgi.tracing.propagation.context import current, is_http_suppressed
from divan_obs_asgi.tracing.spans.recording import UnsampledSpan

# The classes that an instrumentation patches.
CLASSES: Mapping[str, Sequence[str]] = {
    "httpx": ("httpx.HTTPTransport", "httpx.AsyncHTTPTransport"),
    "requests": ("requests.sessions.Session",),
    "asyncpg": (
        "asyncpg.connection.Connection",
        "asyncpg.cursor.Cursor",
        "asyncpg.cursor.CursorIterator",
        "asyncpg.prepared_stmt.PreparedStatement",
    ),
    "redis": (
        "redis.client.Redis",
        "redis.client.Pipeline",
        "redis.cluster.RedisCluster",
        "redis.cluster.ClusterPipeline",
        "redis.asyncio.client.Redis",
        "redis.asyncio.client.Pipeline",
        "redis.asyncio.cluster.RedisCluster",
        "redis.asyncio.cluster.ClusterPipeline",
    ),
}
# Their calls send the headers of the trace in any case.
_HTTP = frozenset({"httpx", "requests"})
Methods = dict[tuple[type, str], Any]


def is_unrecorded() -> bool:
    """
    Return whether the current span is an unrecorded span of this process, whose children are not recorded either.

    Without a current span a call starts a new trace, and below a remote span the sampler has not decided yet.
    """
    span = get_current_span()
    # Checked first: our unsampled span creates its context on demand, which costs more than the rest of this function.
    if type(span) is UnsampledSpan:
        return True
    context = span.get_span_context()
    return context.is_valid and not (context.is_remote or context.trace_flags.sampled or span.is_recording())


def is_own_unrecorded() -> bool:
    """Return whether the current span is an unrecorded span of this library."""
    return type(get_current_span()) is UnsampledSpan


def methods_of(library: str) -> Methods:
    """Return the methods of the classes that the instrumentation of a library patches."""
    return {(cls, name): method for cls in _classes_of(library) for name, method in vars(cls).items()}


class InstrumentationBypass:
    """
    Calls the original methods instead of the instrumented ones while nothing is recorded.

    OpenTelemetry's instrumentations format the command or the URL and create a span and a context even for calls that
    are not sampled. A call of an HTTP client still sends the headers of the trace.

    Args:
        before: the methods before they were instrumented.
    """

    def __init__(self, library: str, before: Methods) -> None:
        prepare = _with_headers(library) if library in _HTTP else _nothing
        self._placed = {
            (cls, name): (instrumented, _either(before[cls, name], instrumented, prepare))
            for (cls, name), instrumented in methods_of(library).items()
            if callable(instrumented) and before.get((cls, name), instrumented) is not instrumented
        }
        for (cls, name), (_, either) in self._placed.items():
            setattr(cls, name, either)

    def undo(self) -> None:
        """Restore the instrumented methods, except those that other code has wrapped since."""
        for (cls, name), (instrumented, either) in self._placed.items():
            if vars(cls).get(name) is either:
                setattr(cls, name, instrumented)


def _either(plain: Any, instrumented: Any, prepare: Callable[..., None]) -> Callable[..., Any]:
    bind = instrumented.__get__

    @functools.wraps(plain)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if is_unrecorded():
            prepare(*args, **kwargs)
            return plain(self, *args, **kwargs)
        return bind(self, type(self))(*args, **kwargs)

    return call


def _nothing(*args: object, **kwargs: object) -> None:
    """Do nothing."""


def _with_headers(library: str) -> Callable[..., None]:
    """Return a function that adds the headers of the trace to the request that a method gets."""
    # A dependency of the instrumentations.
    from opentelemetry.util.http import get_excluded_urls

    excluded = get_excluded_urls(library.upper())

    def add(request: Any = None, *args: object, **kwargs: object) -> None:
        # The instrumentation adds none here either.
        if request is None or is_http_suppressed(current()) or excluded.url_disabled(str(request.url)):
            return
        propagate.inject(request.headers)

    return add


def _classes_of(library: str) -> Iterator[type]:
    for path in CLASSES.get(library, ()):
        module, _, name = path.rpartition(".")
        try:
            yield getattr(import_module(module), name)
        except (ImportError, AttributeError):  # older versions have fewer
            continue


__all__ = ["InstrumentationBypass", "is_own_unrecorded", "is_unrecorded", "methods_of"]
