"""The formats of OTEL_PROPAGATORS, for incoming and for outgoing headers. Requires the extra `tracing`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import entry_points
from typing import Self

from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import Getter, Setter, TextMapPropagator
from opentelemetry.trace import NonRecordingSpan, SpanContext, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from divan_obs_asgi.connection import headers
from divan_obs_asgi.settings.otel_parsers import DEFAULT_PROPAGATORS, PROPAGATOR_GROUP
from divan_obs_asgi.tracing.propagation.parents import EMPTY, caller_in_traceparent, with_baggage
from divan_obs_asgi.tracing.propagation.pubsub import headers_with_caller
from divan_obs_asgi.types import RawHeaders, Scope

_Extract = Callable[[Scope, Mapping[bytes, bytes], Context], Context]


class Propagation:
    """
    Reads the caller's span from the headers of a request, and writes one into them.

    Args:
        names: as in OTEL_PROPAGATORS. A later one overrides what an earlier one has read.

    Attributes:
        is_default: whether only `traceparent`, `tracestate` and `baggage` are read.
        textmap: the same formats for outgoing requests.
    """

    def __init__(self, names: Iterable[str]) -> None:
        names = tuple(names)
        self.is_default = names == DEFAULT_PROPAGATORS
        propagators = {name: _loaded(name) for name in names}
        self.textmap: TextMapPropagator = CompositePropagator(list(propagators.values()))
        own: dict[str, _Extract] = {"tracecontext": caller_in_traceparent, "baggage": with_baggage}
        self._extract = [own.get(name) or _extracting(one) for name, one in propagators.items()]
        self._carries_traceparent = "tracecontext" in names
        # With `tracecontext` among them, headers are rewritten by our own code, which keeps level 2 of W3C.
        self._others: TextMapPropagator = CompositePropagator(
            [one for name, one in propagators.items() if name not in own]
        )
        self._fields = {field.lower().encode("latin-1") for field in self._others.fields}

    @classmethod
    def of(cls, textmap: TextMapPropagator) -> Self:
        """Return the formats of a propagator that was made elsewhere."""
        propagation = cls(())
        propagation.textmap, propagation._others = textmap, textmap
        propagation._extract = [_extracting(textmap)]
        propagation._fields = {field.lower().encode("latin-1") for field in textmap.fields}
        return propagation

    def parent_of(
        self, scope: Scope, present: Mapping[bytes, bytes], context: Context
    ) -> tuple[SpanContext | None, Context]:
        """
        Return the parent span and the context that the headers describe.

        Args:
            context: empty, or the current context of a caller in the same process. Its span is the parent if the
                headers do not name one.
        """
        for extract in self._extract:
            context = extract(scope, present, context)
        parent = get_current_span(context).get_span_context()
        return (parent if parent.is_valid else None), context

    def names_a_parent(self, scope: Scope, present: Mapping[bytes, bytes]) -> bool:
        """Return whether the headers name a parent span."""
        if self.is_default:
            return b"traceparent" in present
        return self.parent_of(scope, present, EMPTY)[0] is not None

    def headers_with(self, caller: SpanContext, given: RawHeaders) -> RawHeaders:
        """Return the request headers with `caller` as the parent span, in every format."""
        changed = headers_with_caller(caller, given) if self._carries_traceparent else list(given)
        if not self._fields:
            return changed
        changed = [pair for pair in changed if pair[0] not in self._fields]
        self._others.inject(changed, set_span_in_context(NonRecordingSpan(caller), EMPTY), _SETTER)
        return changed


def _loaded(name: str) -> TextMapPropagator:
    if name == "tracecontext":
        return TraceContextTextMapPropagator()
    if name == "baggage":
        return W3CBaggagePropagator()
    # Settings has checked that it is installed.
    found: TextMapPropagator = next(iter(entry_points(group=PROPAGATOR_GROUP, name=name))).load()()
    return found


def _extracting(propagator: TextMapPropagator) -> _Extract:
    def extract(scope: Scope, present: Mapping[bytes, bytes], context: Context) -> Context:
        try:
            return propagator.extract(scope["headers"], context, _GETTER)
        except Exception:
            # The client's text is malformed in a way that the propagator does not expect: a new trace starts.
            return context

    return extract


class _HeaderGetter(Getter[RawHeaders]):
    """Reads the headers of a scope."""

    def get(self, carrier: RawHeaders, key: str) -> list[str] | None:
        found = headers.values(carrier, key.lower().encode("latin-1"))
        return [value.decode("latin-1") for value in found] or None

    def keys(self, carrier: RawHeaders) -> list[str]:
        return [name.decode("latin-1") for name, _ in carrier]


class _HeaderSetter(Setter[RawHeaders]):
    """Adds to the headers of a scope."""

    def set(self, carrier: RawHeaders, key: str, value: str) -> None:
        carrier.append((key.lower().encode("latin-1"), value.encode("latin-1")))


_GETTER, _SETTER = _HeaderGetter(), _HeaderSetter()

__all__ = ["Propagation"]
