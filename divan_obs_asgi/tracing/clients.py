"""Tracing of client libraries: own spans, or OpenTelemetry's instrumentations. Requires the extra `tracing`."""

from __future__ import annotations

import logging
import sys
import weakref
from collections.abc import Container, Iterable, Mapping
from contextlib import nullcontext
from functools import partial
from importlib import import_module
from typing import Any

from opentelemetry import propagate
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)
from opentelemetry.trace import Span, TracerProvider
from wrapt import register_post_import_hook

from divan_obs_asgi.clients.calls import CallSpans
from divan_obs_asgi.clients.patches import PatchedLibrary, is_installed, patched
from divan_obs_asgi.connection.record import current_record
from divan_obs_asgi.redaction.commands import redis_word
from divan_obs_asgi.tracing.client_names import stable_http_names
from divan_obs_asgi.tracing.global_provider import OwnTracerProvider, global_provider
from divan_obs_asgi.tracing.spans.unrecorded import InstrumentationBypass, methods_of

_logger = logging.getLogger("divan_obs_asgi.tracing")
_PACKAGE = "opentelemetry.instrumentation."
_INSTRUMENTORS = {
    "httpx": "HTTPXClientInstrumentor",
    "requests": "RequestsInstrumentor",
    "sqlalchemy": "SQLAlchemyInstrumentor",
    "asyncpg": "AsyncPGInstrumentor",
    "psycopg": "PsycopgInstrumentor",
    "redis": "RedisInstrumentor",
}
_HTTP = frozenset({"httpx", "requests"})


class ClientInstrumentation:
    """
    Traces client libraries for one provider.

    A library is patched for that, so it can be traced only once. A library that the application or an earlier
    `Observability` has instrumented is left unchanged. A library that is not loaded yet is traced when the application
    imports it: a service does not load SQLAlchemy only because it is installed.

    Args:
        id_header: the header with the id of the current request, which HTTP clients send.
        spans: makes the spans of SQL and Redis calls; None for OpenTelemetry's instrumentations.
        conventions: the values of OTEL_SEMCONV_STABILITY_OPT_IN.
    """

    def __init__(
        self,
        names: Iterable[str],
        provider: TracerProvider,
        id_header: str = "X-Request-Id",
        spans: CallSpans | None = None,
        propagator: TextMapPropagator | None = None,
        conventions: Container[str] = (),
    ) -> None:
        self._names = tuple(names)
        self._conventions = conventions
        self._propagator = propagator
        self._id_header = id_header
        self._provider = provider
        self._spans = spans
        self._instrumented: dict[str, Any] = {}
        self._patched: dict[str, PatchedLibrary] = {}
        self._bypasses: list[InstrumentationBypass] = []
        self._propagator_before: TextMapPropagator | None = None
        # The libraries to trace when they are imported.
        self._awaited: set[str] = set()

    def instrument(self) -> tuple[str, ...]:
        """
        Trace each library that is loaded, and each other one when it is imported.

        Returns:
            all that are traced by this object by now.
        """
        missing = [name for name in self._names if name not in sys.modules]
        self._trace(name for name in self._names if name in sys.modules)
        for name in missing:
            if name not in self._awaited and self._can_trace(name):
                # wrapt keeps the hook for the life of the process.
                register_post_import_hook(partial(_imported, weakref.ref(self), name), name)
            self._awaited.add(name)
        return tuple(name for name in self._names if name in self._instrumented or name in self._patched)

    def _can_trace(self, name: str) -> bool:
        has_own = self._spans is not None and name not in _HTTP
        return is_installed(name) and (has_own or is_installed(_PACKAGE + name))

    def _trace(self, names: Iterable[str]) -> None:
        own = self._provider if isinstance(self._provider, OwnTracerProvider) else None
        for name in names:
            if name in self._instrumented or name in self._patched:
                continue
            if (self._patch(name) or self._instrument(name)) and own is not None:
                global_provider().forward_to(own)
        sends = self._propagator is not None or not self._instrumented.keys().isdisjoint(_HTTP)
        if self._propagator_before is None and sends:
            present = self._propagator_before = propagate.get_global_textmap()
            propagate.set_global_textmap(
                CompositePropagator([self._propagator or present, RequestIdPropagator(self._id_header)])
            )

    def undo(self) -> None:
        """Restore the libraries and the global propagator."""
        self._awaited.clear()
        while self._patched:
            self._patched.popitem()[1].end_tracing()
        while self._bypasses:
            self._bypasses.pop().undo()
        for instrumentor in self._instrumented.values():
            instrumentor.uninstrument()
        self._instrumented.clear()
        if self._propagator_before is not None:
            propagate.set_global_textmap(self._propagator_before)
            self._propagator_before = None

    def _patch(self, name: str) -> bool:
        """Give the calls of a library our own spans; return whether they have them now."""
        if self._spans is None or name in _HTTP or _is_instrumented(name):
            return False
        library = patched(name)
        if not library.trace(self._spans):
            return False
        self._patched[name] = library
        return True

    def _instrument(self, name: str) -> bool:
        """Apply OpenTelemetry's instrumentation; return whether it is there and was not applied before."""
        if name not in _INSTRUMENTORS or patched(name).is_traced or not is_installed(_PACKAGE + name):
            return False
        instrumentor = getattr(import_module(_PACKAGE + name), _INSTRUMENTORS[name])()
        if instrumentor.is_instrumented_by_opentelemetry:
            return False
        before = methods_of(name)
        options = {"request_hook": _name_command} if name == "redis" else {}
        provider = global_provider() if isinstance(self._provider, OwnTracerProvider) else self._provider
        try:
            # Without its version check, which would leave SQLAlchemy 2.1 without spans. The patch stays for the
            # life of the process, so it gets the global provider, which forwards to the current one.
            with stable_http_names(self._conventions) if name in _HTTP else nullcontext():
                instrumentor.instrument(tracer_provider=provider, skip_dep_check=True, **options)
        except Exception as error:
            _logger.warning("%s is not traced: its instrumentation raised %s.", name, type(error).__name__)
            return False
        self._instrumented[name] = instrumentor
        self._bypasses.append(InstrumentationBypass(name, before))
        return True


class RequestIdPropagator(TextMapPropagator):
    """
    Adds the id of the current request to outgoing requests.

    Args:
        header: the name of the request header.
    """

    def __init__(self, header: str = "X-Request-Id") -> None:
        self._header = header.lower()

    def extract(
        self, carrier: CarrierT, context: Context | None = None, getter: Getter[CarrierT] = default_getter
    ) -> Context:
        """Return the context unchanged: `RequestIdMiddleware` reads incoming ids and decides which to trust."""
        return Context() if context is None else context

    def inject(
        self, carrier: CarrierT, context: Context | None = None, setter: Setter[CarrierT] = default_setter
    ) -> None:
        """Set the header, unless the application has set it or there is no current request."""
        record = current_record.get()
        if record is None or not record.request_id:
            return
        if not (isinstance(carrier, Mapping) and self._header in carrier):
            setter.set(carrier, self._header, record.request_id)

    @property
    def fields(self) -> set[str]:
        return {self._header}


def _imported(instrumentation: weakref.ref[ClientInstrumentation], name: str, module: object) -> None:
    """Trace a library that has just been imported, unless the instrumentation is gone or undone."""
    waiting = instrumentation()
    if waiting is not None and name in waiting._awaited:
        waiting._awaited.discard(name)
        try:
            waiting._trace([name])
        except Exception as error:
            # It would be raised by the application's import.
            _logger.warning("%s is not traced: its instrumentation raised %s.", name, type(error).__name__)


def _is_instrumented(name: str) -> bool:
    """Return whether OpenTelemetry's instrumentation of a library is applied; that of no library is imported for it."""
    module = sys.modules.get(_PACKAGE + name)
    instrumentor: Any = getattr(module, _INSTRUMENTORS.get(name, ""), None)
    return instrumentor is not None and instrumentor().is_instrumented_by_opentelemetry is True


def _name_command(span: Span, instance: object, args: Any, kwargs: object) -> None:
    """Set the attribute `redis.command` to the first word; the words after it are keys and values."""
    if span.is_recording() and args and isinstance(args[0], str):
        span.set_attribute("redis.command", redis_word(args[0].partition(" ")[0].upper()))


__all__ = ["ClientInstrumentation", "RequestIdPropagator"]
