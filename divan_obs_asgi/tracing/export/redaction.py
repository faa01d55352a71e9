"""Redaction of spans before they are exported. Requires the extra `tracing`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanKind, Status
from opentelemetry.util.types import Attributes, AttributeValue

from divan_obs_asgi.connection.routes import UNMATCHED
from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.redaction.commands import redis_name, sql_name
from divan_obs_asgi.redaction.databases import MARKER as DATABASE
from divan_obs_asgi.redaction.databases import is_pool_text
from divan_obs_asgi.redaction.errors import frames_only, marker_for_text
from divan_obs_asgi.redaction.sql import commands_only, without_literals
from divan_obs_asgi.tracing.export.urls import names_only, with_path, without_query
from divan_obs_asgi.tracing.spans.recording import RecordingSpan
from divan_obs_asgi.tracing.spans.server import NAME

# Attributes that are safe on spans of this library: route templates, closed vocabularies, validated ids, and an address
# as OBS_TRACING_CLIENT_ADDRESS allows. Frameworks put unchecked values under the same names.
_SAFE_OWN = frozenset(
    {
        "http.request.method",
        "http.route",
        "http.response.status_code",
        "url.scheme",
        "network.protocol.version",
        "http.method",
        "http.status_code",
        "http.scheme",
        "http.flavor",
        "client.address",
        "http.client_ip",
        "divan.operation",
        "divan.outcome",
        "divan.request_id",
        "divan.kept",
        "error.type",
        "socketio.event",
        "socketio.namespace",
        "socketio.sid",
    }
)
_SAFE_FOREIGN = frozenset({"http.route"})
# This instrumentation does not know the route. Who selects it wants its raw paths.
_CONTRIB_ASGI = "opentelemetry.instrumentation.asgi"
# Attributes with URLs that instrumentations of clients and frameworks set: old names and new names.
_URLS = frozenset({"url.full", "http.url", "http.target", "url.original"})
# Attributes of a server span with the requested path. It is replaced by the route template, or by `__unmatched__`.
_PATHS = frozenset({"url.path", "http.target"})
_QUERIES = frozenset({"url.query"})
# Prefixes of attributes of database and cache calls, whose values repeat: statements, servers and names.
_REPEATED = ("db.", "net.", "network.", "server.", "redis.")
# Maximum number of cached values, and the maximum length of a cached value.
_REMEMBERED, _SHORT = 2048, 1024
_OPERATIONS = frozenset({"db.operation", "db.operation.name"})
_STATEMENTS = frozenset({"db.statement", "db.query.text"})
_SYSTEMS = ("db.system", "db.system.name")
_REDIS = "redis"
_REDIS_CLIENT = "opentelemetry.instrumentation.redis"
_SQL_CLIENTS = frozenset({"opentelemetry.instrumentation.sqlalchemy", "opentelemetry.instrumentation.asyncpg"})
_TYPE, _MESSAGE, _STACKTRACE = "exception.type", "exception.message", "exception.stacktrace"


class SpanRedactor:
    """Makes redacted copies of spans: name, attributes, events, links and status description."""

    def __init__(self, policy: RedactionPolicy) -> None:
        self._policy = policy
        # There are few names and keys, and the policy is a pure function, so the results can be cached.
        self._name = lru_cache(maxsize=2048)(policy.redact_text)
        # Values that the policy does not change. A value that it redacts is not cached: each redaction is counted.
        self._unchanged: dict[tuple[str, object, type, bool], AttributeValue] = {}

    def span(self, span: ReadableSpan) -> ReadableSpan:
        """Return a redacted copy of `span`, or `span` itself if it has only data that this library has set."""
        if isinstance(span, RecordingSpan) and span.has_only_own_data:
            return span
        # The error message of a database or a validation repeats values in plain text, which no rule can recognize.
        of_a_database = any(system in (span.attributes or {}) for system in _SYSTEMS)
        markers = (
            [DATABASE] if of_a_database and not _is_of_a_pool(span) else [*filter(None, map(_marker_for, span.events))]
        )
        hidden = markers[0] if markers else None
        return _Copy(
            name=self._name_of(span),
            context=span.context,
            parent=span.parent,
            resource=span.resource,
            attributes=self._of_span(span),
            events=[self._event(event, hidden) for event in span.events],
            links=[Link(link.context, self.attributes(link.attributes)) for link in span.links],
            kind=span.kind,
            status=self._status(span.status, hidden),
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=self._scope(span.instrumentation_scope),
            dropped=(span.dropped_attributes, span.dropped_events, span.dropped_links),
        )

    def attributes(self, attributes: Attributes) -> dict[str, AttributeValue]:
        """Return redacted attributes of a resource, an event or a link."""
        return self._redacted(attributes or {}, _SAFE_FOREIGN, (attributes or {}).get("http.route"))

    def _name_of(self, span: ReadableSpan) -> str:
        maker = span.instrumentation_scope.name if span.instrumentation_scope is not None else ""
        # These instrumentations name a span after the first word of the command.
        if maker == _REDIS_CLIENT:
            return self._name(redis_name(span.name))
        return self._name(sql_name(span.name) if maker in _SQL_CLIENTS else span.name)

    def _scope(self, scope: InstrumentationScope | None) -> InstrumentationScope | None:
        """Return the redacted scope; its name is usually the name of a module but can be any text."""
        if scope is None or scope.name == NAME:
            return scope
        version, url = (self._name(text) if text else text for text in (scope.version, scope.schema_url))
        return InstrumentationScope(self._name(scope.name), version, url, self.attributes(scope.attributes))

    def _of_span(self, span: ReadableSpan) -> dict[str, AttributeValue]:
        attributes = span.attributes or {}
        maker = span.instrumentation_scope.name if span.instrumentation_scope is not None else ""
        route = attributes.get("http.route")
        if route is None and _PATHS & attributes.keys() and span.kind is not SpanKind.CLIENT and maker != _CONTRIB_ASGI:
            route = UNMATCHED
        return self._redacted(attributes, _SAFE_OWN if maker == NAME else _SAFE_FOREIGN, route)

    def _redacted(
        self, attributes: Mapping[str, AttributeValue], known: frozenset[str], route: object
    ) -> dict[str, AttributeValue]:
        redis = any(attributes.get(system) == _REDIS for system in _SYSTEMS)
        return {
            key if key in known else self._name(key): value if key in known else self._value(key, value, redis, route)
            for key, value in attributes.items()
        }

    def _value(self, key: str, value: Any, redis: bool, route: object) -> AttributeValue:
        kind = type(value)
        if not key.startswith(_REPEATED) or not (kind is int or (kind is str and len(value) <= _SHORT)):
            return self._apply_policy(key, value, redis, route)[0]
        pair = key, value, kind, redis
        known = self._unchanged.get(pair)
        if known is None:
            known, is_harmless = self._apply_policy(key, value, redis, route)
            if is_harmless and len(self._unchanged) < _REMEMBERED:
                self._unchanged[pair] = known
        return known

    def _apply_policy(self, key: str, value: Any, redis: bool, route: object) -> tuple[AttributeValue, bool]:
        """Return the redacted value, and whether the policy has left it unchanged."""
        if isinstance(value, str):
            if key in _STATEMENTS:
                value = commands_only(value) if redis else without_literals(value)
            elif key in _OPERATIONS:
                value = redis_name(value) if redis else sql_name(value)
            elif isinstance(route, str) and key in _PATHS:
                value = route
            elif isinstance(route, str) and key in _URLS:
                value = with_path(value, route)
            elif key in _URLS:
                value = without_query(value)
            elif key in _QUERIES:
                value = names_only(value)
            elif key == _STACKTRACE:
                value = self._policy.redact_traceback(value)
        redacted = self._policy.redact_field(key, value)
        if isinstance(redacted, (str, bool, int, float)):
            return redacted, redacted == value
        if isinstance(redacted, list):
            # All items of a list must have the same type.
            return ([str(item) for item in redacted] if redacted != list(value) else value), False
        return str(redacted), False

    def _event(self, event: Event, hidden: str | None) -> Event:
        attributes = dict(event.attributes or {})
        if hidden is not None and _MESSAGE in attributes:
            attributes[_MESSAGE] = hidden
        if hidden is not None and _STACKTRACE in attributes:
            attributes[_STACKTRACE] = frames_only(str(attributes[_STACKTRACE]))
        return Event(self._name(event.name), self.attributes(attributes), event.timestamp)

    def _status(self, status: Status, hidden: str | None) -> Status:
        if not status.description:
            return status
        return Status(status.status_code, hidden or self._policy.redact_text(status.description))


def _marker_for(event: Event) -> str | None:
    attributes = event.attributes or {}
    kind, stacktrace, message = (str(attributes.get(key, "")) for key in (_TYPE, _STACKTRACE, _MESSAGE))
    return marker_for_text(kind, stacktrace, message)


def _is_of_a_pool(span: ReadableSpan) -> bool:
    """Return whether each exception of a database's span only says that there is no connection to give."""
    attributes = [event.attributes or {} for event in span.events if _MESSAGE in (event.attributes or {})]
    kinds = {str(one.get(_TYPE, "")).rpartition(".")[2] for one in attributes}
    texts = [str(one[_MESSAGE]) for one in attributes]
    if span.status.description:
        # OpenTelemetry's SDK writes the class before the text.
        name, _, text = span.status.description.partition(": ")
        texts.append(text if name in kinds else span.status.description)
    return bool(texts) and all(map(is_pool_text, texts))


class RedactingExporter(SpanExporter):
    """
    Passes redacted copies of spans to another exporter.

    It runs in the export thread, for every span of the provider: server spans, spans of the application, and spans of
    client instrumentations.
    """

    def __init__(self, exporter: SpanExporter, redactor: SpanRedactor) -> None:
        self._exporter = exporter
        self._redactor = redactor

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._exporter.export([self._redactor.span(span) for span in spans])

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class _Copy(ReadableSpan):
    """The exported copy of a span; it keeps the counts of data that the original has dropped."""

    def __init__(self, *, dropped: tuple[int, int, int], **values: Any) -> None:
        super().__init__(**values)
        self._dropped = dropped

    @property
    def dropped_attributes(self) -> int:
        return self._dropped[0]

    @property
    def dropped_events(self) -> int:
        return self._dropped[1]

    @property
    def dropped_links(self) -> int:
        return self._dropped[2]


__all__ = ["RedactingExporter", "SpanRedactor"]
