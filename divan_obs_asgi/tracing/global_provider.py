"""
The global tracer provider, which forwards to the provider of the current `Observability`.

OpenTelemetry lets a process set its global provider only once, but an `Observability` can be replaced.
"""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Callable
from functools import cache
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from divan_obs_asgi.clients.calls import CallSpans


class OwnTracerProvider(TracerProvider):
    """
    A provider that this library has created, as opposed to a provider of the application.

    Attributes:
        client_spans: makes the spans of client calls; None for a provider that exports nothing.
    """

    client_spans: CallSpans | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        # The SDK's own hook would keep every provider alive until the process ends.
        super().__init__(*arguments, **{**options, "shutdown_on_exit": False})
        self._by_key: dict[tuple[Any, ...], trace.Tracer] = {}
        _providers.add(self)

    def tracer(self, key: tuple[Any, ...]) -> trace.Tracer:
        """Return the cached tracer for these arguments of `get_tracer`."""
        known = self._by_key.get(key)
        if known is None:
            known = self._by_key[key] = self.get_tracer(*key)
        return known


class GlobalTracerProvider(OwnTracerProvider):
    """
    Forwards every call to the provider of the bundle that was installed last, and holds only a weak reference to it.

    Modules and instrumentations get a tracer once and keep it. Their spans go to whichever provider is current; without
    one they are dropped. This is a subclass of the SDK's provider, because some code checks for that type.
    """

    def __init__(self) -> None:  # Does not call the SDK's constructor: this provider has no state of its own.
        self._provider: Callable[[], OwnTracerProvider | None] = _no_provider

    def forward_to(self, provider: OwnTracerProvider) -> None:
        """Forward to `provider` from now on, until it is garbage-collected."""
        self._provider = weakref.ref(provider)

    def current(self) -> OwnTracerProvider:
        """Return the provider to which calls are forwarded."""
        return self._provider() or _silent_provider()

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Any = None,
    ) -> trace.Tracer:
        named = None if attributes is None else tuple(sorted(attributes.items()))
        arguments = (instrumenting_module_name, instrumenting_library_version, schema_url)
        return _GlobalTracer(self, arguments if named is None else (*arguments, _Attributes(named)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.current(), name)


class _Attributes(dict[str, Any]):
    """Hashable attributes of an instrumentation scope, for use in a cache key."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(self))


class _GlobalTracer(trace.Tracer):
    def __init__(self, provider: GlobalTracerProvider, key: tuple[Any, ...]) -> None:
        self._provider = provider
        self._key = key

    def start_span(self, *arguments: Any, **options: Any) -> trace.Span:
        return self._provider.current().tracer(self._key).start_span(*arguments, **options)

    def start_as_current_span(self, *arguments: Any, **options: Any) -> Any:
        return self._provider.current().tracer(self._key).start_as_current_span(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider.current().tracer(self._key), name)


def _no_provider() -> None:
    return None


_providers: weakref.WeakSet[OwnTracerProvider] = weakref.WeakSet()


@cache
def global_provider() -> GlobalTracerProvider:
    """Return the global provider of this process."""
    return GlobalTracerProvider()


@cache
def _silent_provider() -> OwnTracerProvider:
    return OwnTracerProvider(ALWAYS_OFF)


def _shut_down_all() -> None:
    for provider in list(_providers):
        provider.shutdown()


atexit.register(_shut_down_all)

__all__ = ["GlobalTracerProvider", "OwnTracerProvider", "global_provider"]
