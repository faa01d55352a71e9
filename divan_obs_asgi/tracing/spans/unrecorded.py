"""Calls of client libraries that are not recorded skip their instrumentation. Imported only where tracing is on."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from opentelemetry.trace import get_current_span

from divan_obs_asgi.tracing.spans.recording import UnsampledSpan

# The classes that an instrumentation patches. httpx and requests are not among them: a call carries a traceparent,
# whether or not it is recorded.
CLASSES: Mapping[str, Sequence[str]] = {
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
Methods = dict[tuple[type, str], Any]


def is_unrecorded() -> bool:
    """
    Tell whether the current span is one of this process that is not recorded, and neither will be its children.

    Without a span a call begins a trace of its own, and below a remote one the sampler has not decided yet.
    """
    span = get_current_span()
    # First, because the context of one of ours is made for who asks, which would cost more than all else here.
    if type(span) is UnsampledSpan:
        return True
    context = span.get_span_context()
    return context.is_valid and not (context.is_remote or context.trace_flags.sampled or span.is_recording())


def is_own_unrecorded() -> bool:
    """Tell whether the current span is one that this library has made, and does not record."""
    return type(get_current_span()) is UnsampledSpan


def methods_of(library: str) -> Methods:
    """Return the methods of the classes that a library's instrumentation patches."""
    return {(cls, name): method for cls in _classes_of(library) for name, method in vars(cls).items()}


class InstrumentationBypass:
    """
    Calls the methods that an instrumentation has wrapped as they were before, where nothing is recorded.

    opentelemetry-instrumentation-redis and -asyncpg format the command, and make a span and a context, for calls that
    are not sampled, too.

    Args:
        before: the methods before they were instrumented.
    """

    def __init__(self, library: str, before: Methods) -> None:
        self._placed = {
            (cls, name): (instrumented, _either(before[cls, name], instrumented))
            for (cls, name), instrumented in methods_of(library).items()
            if callable(instrumented) and before.get((cls, name), instrumented) is not instrumented
        }
        for (cls, name), (_, either) in self._placed.items():
            setattr(cls, name, either)

    def undo(self) -> None:
        """Leave the methods as the instrumentation has made them, but for those that somebody has wrapped since."""
        for (cls, name), (instrumented, either) in self._placed.items():
            if vars(cls).get(name) is either:
                setattr(cls, name, instrumented)


def _either(plain: Any, instrumented: Any) -> Callable[..., Any]:
    bind = instrumented.__get__

    @functools.wraps(plain)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if is_unrecorded():
            return plain(self, *args, **kwargs)
        return bind(self, type(self))(*args, **kwargs)

    return call


def _classes_of(library: str) -> Iterator[type]:
    for path in CLASSES.get(library, ()):
        module, _, name = path.rpartition(".")
        try:
            yield getattr(import_module(module), name)
        except (ImportError, AttributeError):  # older versions have fewer
            continue


__all__ = ["InstrumentationBypass", "is_own_unrecorded", "is_unrecorded", "methods_of"]
