"""
An OTLP encoder for spans that costs a sixth of OpenTelemetry's encoder and writes the same bytes.

Encoding runs in the export thread and holds the GIL while requests wait. Two server spans differ mostly in their ids,
their times and the request id; two database spans differ hardly more. The other attributes have few distinct values,
whose bytes are cached. Spans with events, with a status description or with attributes of other types are passed to
OpenTelemetry's encoder. Requires the extra `tracing`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, StatusCode

from divan_obs_asgi.otlp.wire import field, text, varint
from divan_obs_asgi.tracing.spans.recording import RecordingSpan

# opentelemetry/proto/trace/v1/trace.proto, message Span: the tags of fields 1, 2, 4, 3, 5 and 9 (length-delimited), and
# those of kind (6, a varint), start_time_unix_nano (7) and end_time_unix_nano (8), both fixed64; status (15) whole.
_TRACE_ID, _SPAN_ID, _PARENT_ID = b"\x0a\x10", b"\x12\x08", b"\x22\x08"
_TRACE_STATE, _NAME, _ATTRIBUTE = b"\x1a", b"\x2a", b"\x4a"
_KIND_AND_TIMES = struct.Struct("<BBBQBQ")
_KIND, _START, _END = 0x30, 0x39, 0x41
_STATUS = {StatusCode.UNSET: b"\x7a\x00", StatusCode.OK: b"\x7a\x02\x18\x01", StatusCode.ERROR: b"\x7a\x02\x18\x02"}
# Field 13, a link. All links of this library have the same length: ids in fields 1 and 2, and flags (6, fixed32).
_LINK, _LINK_FLAGS = b"\x6a\x21", (b"\x35\x00\x01\x00\x00", b"\x35\x00\x03\x00\x00")
# Field 16, flags, fixed32: SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE, and SPAN_FLAGS_CONTEXT_IS_REMOTE.
_LOCAL, _REMOTE = b"\x85\x01\x00\x01\x00\x00", b"\x85\x01\x00\x03\x00\x00"

# Maximum number of cached pairs of key and value. More than this means that values are not repeated.
_REMEMBERED = 4096
_UNIQUE_KEYS = frozenset({"divan.request_id", "socketio.sid"})
_DATABASE_PREFIXES = ("db.", "net.", "network.", "server.", "redis.")


class SpanEncoder:
    """Encodes batches, and caches the bytes of repeated attributes."""

    def __init__(self) -> None:
        # Two caches: foreign spans may have too many distinct values, and must not displace those of our own spans.
        self._pairs: dict[tuple[str, object], bytes] = {}
        self._foreign_pairs: dict[tuple[str, object], bytes] = {}

    def encoded(self, spans: Sequence[ReadableSpan]) -> bytes:
        """Return the ExportTraceServiceRequest for `spans`, grouped by resource and scope in order of appearance."""
        own = [self._span(span) for span in spans]
        foreign = _encoded_by_the_sdk([span for span, message in zip(spans, own, strict=True) if message is None])
        resources = _Resources()
        for span, message in zip(spans, own, strict=True):
            group = resources.group(span)
            group.messages.append(next(foreign[id(span)]) if message is None else message)
        return b"".join(field(1, _resource_spans(groups)) for groups in resources.all())

    def _span(self, span: ReadableSpan) -> bytes | None:
        """Return the bytes of a Span message, or None if OpenTelemetry's encoder has to encode the span."""
        identity, parent = span.get_span_context(), span.parent
        if isinstance(span, RecordingSpan) and span.has_only_own_data:
            attributes: Mapping[str, object] = span.plain_attributes
            if span.kind is SpanKind.CLIENT:
                # Statements may be many, too.
                pairs, is_repeated = self._foreign_pairs, _is_database_key
            else:
                pairs, is_repeated = self._pairs, _is_repeated_key
        elif _is_plain(span):
            attributes = span.attributes or {}
            pairs, is_repeated = self._foreign_pairs, _is_database_key
        else:
            return None
        if identity is None or not (span.name.isprintable() and span.name and span.start_time and span.end_time):
            return None  # The protocol omits fields that are 0 or empty.
        name = span.name.encode()
        parts = [
            _TRACE_ID,
            identity.trace_id.to_bytes(16),
            _SPAN_ID,
            identity.span_id.to_bytes(8),
        ]
        if identity.trace_state:
            state = identity.trace_state.to_header().encode()
            parts += _TRACE_STATE, varint(len(state)), state
        if parent is not None:
            parts += _PARENT_ID, parent.span_id.to_bytes(8)
        # SpanKind starts at 0, the enum of the protocol at 1.
        times = _KIND_AND_TIMES.pack(_KIND, span.kind.value + 1, _START, span.start_time or 0, _END, span.end_time or 0)
        parts += _NAME, varint(len(name)), name, times
        for pair in attributes.items():
            kind = type(pair[1])
            # Exactly these types: True and 1.0 equal 1 and would hit its cache entry; a list is not hashable.
            if kind is not str and kind is not int:
                return None
            known = pairs.get(pair)
            if known is None:
                known = _pair(*pair)
                if known is None:
                    return None
                if is_repeated(pair[0]) and len(pairs) < _REMEMBERED:
                    pairs[pair] = known
            parts.append(known)
        for link in span.links:
            parts.append(_link(link.context))
        parts += _STATUS[span.status.status_code], _REMOTE if parent is not None and parent.is_remote else _LOCAL
        return b"".join(parts)


def _pair(key: str, value: object) -> bytes | None:
    """Return the bytes of an attribute, or None if OpenTelemetry's encoder has to encode it."""
    if not (key and key.isprintable()):
        return None
    if isinstance(value, str):
        # This includes lone surrogates, which are not UTF-8. OpenTelemetry's encoder handles them.
        if not value.isprintable():
            return None
        content = value.encode()
        content_field = b"\x0a" + varint(len(content)) + content
    elif isinstance(value, int) and 0 <= value < 2**63:
        content_field = b"\x18" + varint(value)
    else:
        return None
    name = key.encode()
    body = b"\x0a" + varint(len(name)) + name + b"\x12" + varint(len(content_field)) + content_field
    return _ATTRIBUTE + varint(len(body)) + body


def _is_plain(span: ReadableSpan) -> bool:
    """Return whether a foreign span has only a name, times and attributes, and has dropped nothing."""
    # The cheap conditions come first; the last three are computed.
    return not (
        span.events
        or span.links
        or span.status.description
        or span.dropped_attributes
        or span.dropped_events
        or span.dropped_links
    )


def _is_repeated_key(key: str) -> bool:
    return key not in _UNIQUE_KEYS


def _is_database_key(key: str) -> bool:
    return key.startswith(_DATABASE_PREFIXES)


class _Group:
    """The spans of one resource and scope."""

    def __init__(self, sample: ReadableSpan) -> None:
        self.sample = sample
        self.messages: list[bytes] = []


class _Resources:
    """Groups spans by resource and scope without hashing a resource, which costs as much as encoding a span."""

    def __init__(self) -> None:
        self._found: list[tuple[Resource, dict[InstrumentationScope | None, _Group]]] = []
        self._by_identity: dict[int, dict[InstrumentationScope | None, _Group]] = {}

    def group(self, span: ReadableSpan) -> _Group:
        scopes = self._by_identity.get(id(span.resource))
        if scopes is None:
            scopes = self._by_identity[id(span.resource)] = self._scopes_of(span.resource)
        scope = span.instrumentation_scope
        group = scopes.get(scope)
        if group is None:
            group = scopes[scope] = _Group(span)
        return group

    def all(self) -> Iterator[list[_Group]]:
        return (list(scopes.values()) for _, scopes in self._found)

    def _scopes_of(self, resource: Resource) -> dict[InstrumentationScope | None, _Group]:
        for known, scopes in self._found:
            if known == resource:
                return scopes
        self._found.append((resource, {}))
        return self._found[-1][1]


def _resource_spans(groups: list[_Group]) -> bytes:
    # OpenTelemetry's encoder encodes one sample span of each group, for the parts that all its spans share.
    samples = [encode_spans([group.sample]).resource_spans[0] for group in groups]
    parts = [field(1, samples[0].resource.SerializeToString())]
    for group, sample in zip(groups, samples, strict=True):
        scope = sample.scope_spans[0]
        content = [field(1, scope.scope.SerializeToString()), *(field(2, message) for message in group.messages)]
        content.append(text(3, scope.schema_url))
        parts.append(field(2, b"".join(content)))
    parts.append(text(3, samples[0].schema_url))
    return b"".join(parts)


def _encoded_by_the_sdk(spans: Sequence[ReadableSpan]) -> dict[int, Iterator[bytes]]:
    """Return the messages of OpenTelemetry's encoder for each span, by the span's identity."""
    if not spans:
        return {}
    order: dict[Resource, dict[InstrumentationScope | None, list[int]]] = {}
    for span in spans:
        order.setdefault(span.resource, {}).setdefault(span.instrumentation_scope, []).append(id(span))
    found: dict[int, list[bytes]] = {}
    for resource, scopes in zip(encode_spans(spans).resource_spans, order.values(), strict=True):
        for scope, identities in zip(resource.scope_spans, scopes.values(), strict=True):
            for message, identity in zip(scope.spans, identities, strict=True):
                found.setdefault(identity, []).append(message.SerializeToString())
    return {identity: iter(messages) for identity, messages in found.items()}


def _link(to: SpanContext) -> bytes:
    ids = to.trace_id.to_bytes(16), _SPAN_ID, to.span_id.to_bytes(8)
    return b"".join((_LINK, _TRACE_ID, *ids, _LINK_FLAGS[to.is_remote]))


__all__ = ["SpanEncoder"]
