"""OpenTelemetry's global tracer provider, which a process can set once, in front of providers that come and go."""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Callable
from functools import cache
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF


class OwnTracerProvider(TracerProvider):
    """The SDK's provider, set up here: as the global one it is none of the application's."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        # The SDK's own hook would keep every provider until the end of the process.
        super().__init__(*arguments, **{**options, "shutdown_on_exit": False})
        self._by_key: dict[tuple[Any, ...], trace.Tracer] = {}
        _providers.add(self)

    def tracer(self, key: tuple[Any, ...]) -> trace.Tracer:
        """Return the one tracer for these arguments of `get_tracer`."""
        known = self._by_key.get(key)
        if known is None:
            known = self._by_key[key] = self.get_tracer(*key)
        return known


class GlobalTracerProvider(OwnTracerProvider):
    """
    Passes everything on to the provider of the bundle that was installed last, and holds none of them.

    Whoever has asked for a tracer once, as modules and instrumentations do, makes spans of each bundle in turn; where
    there is none, spans that go nowhere. An SDK provider for those who look whether the global one is.
    """

    def __init__(self) -> None:  # Not the SDK's: it has nothing of its own.
        self._provider: Callable[[], OwnTracerProvider | None] = _no_provider

    def forward_to(self, provider: OwnTracerProvider) -> None:
        """Pass on to `provider` from now on, as long as it is there."""
        self._provider = weakref.ref(provider)

    def current(self) -> OwnTracerProvider:
        """Return the one that everything is passed on to."""
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
    """Attributes of an instrumentation scope, as part of a key."""

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
    """Return the one of this process."""
    return GlobalTracerProvider()


@cache
def _silent_provider() -> OwnTracerProvider:
    return OwnTracerProvider(ALWAYS_OFF)


def _shut_down_all() -> None:
    for provider in list(_providers):
        provider.shutdown()


atexit.register(_shut_down_all)

__all__ = ["GlobalTracerProvider", "OwnTracerProvider", "global_provider"]
