"""How each attribute and exception of a span is redacted before the export."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.tracing.export.redaction import RedactingExporter, SpanRedactor
from divan_obs_asgi.tracing.spans.recording import RecordingSpan

TOKEN = "ghp_c4n4rYc4n4rYc4n4rYc4n4rYc4n4rYc4n4rY"
COUNTED: list[str] = []
REDACTOR = SpanRedactor(RedactionPolicy(count=COUNTED.append))
UNSET = Status(StatusCode.UNSET)
OURS = InstrumentationScope("divan_obs_asgi")
FRAMEWORK = InstrumentationScope("starlette.middleware.opentelemetry")
CONTRIB = InstrumentationScope("opentelemetry.instrumentation.asgi")
DATABASE = {"db.system": "postgresql"}
DATABASE_NEW = {"db.system.name": "postgresql"}
STACKTRACE = """Traceback (most recent call last):
  File "/srv/app.py", line 7, in store
    insert(name="planted")
asyncpg.exceptions.DataError: planted is no integer

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/srv/app.py", line 3, in <module>
    store()
app.NotStored: planted
"""
FRAMES = '  File "/srv/app.py", line 7, in store\n  File "/srv/app.py", line 3, in <module>'


def span_of(
    attributes: dict[str, Any],
    *events: Event,
    scope: InstrumentationScope = FRAMEWORK,
    kind: SpanKind = SpanKind.SERVER,
    status: Status = UNSET,
) -> ReadableSpan:
    return ReadableSpan(
        "a", attributes=attributes, events=events, instrumentation_scope=scope, kind=kind, status=status
    )


def redacted(attributes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return dict(REDACTOR.span(span_of(attributes, **more)).attributes or {})


ROUTE = {"http.route": "/users/{id}"}


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("url.path", "/users/planted", "/users/{id}"),
        ("http.target", "/users/planted?q=planted", "/users/{id}"),
        ("url.full", "https://planted@a.example/users/planted?q=planted", "https://a.example/users/{id}"),
        ("http.url", "https://a.example/users/planted?q=planted", "https://a.example/users/{id}"),
        ("url.original", "https://a.example/users/planted", "https://a.example/users/{id}"),
        ("url.query", "q=planted&planted", "q=?&?"),
    ],
)
def test_a_server_span_has_the_template_instead_of_the_path(key: str, value: str, expected: str) -> None:
    """Under the old and the new names of the HTTP conventions. The path can have names and tokens."""
    assert redacted({**ROUTE, key: value}) == {**ROUTE, key: expected}


@pytest.mark.parametrize("kind", [SpanKind.SERVER, SpanKind.INTERNAL])
def test_an_unmatched_path_is_not_exported(kind: SpanKind) -> None:
    """A framework records it for every 404; upstream's span is an internal span below ours."""
    attributes = {"url.path": "/planted", "http.target": "/planted?planted", "http.url": "https://a.example/planted"}
    assert redacted(attributes, kind=kind) == {
        "url.path": "__unmatched__",
        "http.target": "__unmatched__",
        "http.url": "https://a.example/__unmatched__",
    }


def test_an_outgoing_call_has_its_path_but_no_query_values() -> None:
    """The template of the other service is unknown; the names of the parameters are kept."""
    attributes = {"url.full": "https://planted:planted@a.example/users/7?q=planted", "url.path": "/users/7"}
    expected = {"url.full": "https://a.example/users/7?q=?", "url.path": "/users/7"}
    assert redacted(attributes, kind=SpanKind.CLIENT) == expected


def test_upstreams_plain_middleware_keeps_its_paths() -> None:
    """It does not know the routes. Texts that look like secrets are still redacted."""
    attributes = {"http.target": f"/users/7/{TOKEN}?q=planted"}
    assert redacted(attributes, scope=CONTRIB) == {"http.target": "/users/7/[redacted:github_token]?q=?"}


@pytest.mark.parametrize("key", ["client.address", "http.client_ip", "net.peer.ip", "net.sock.peer.addr"])
def test_an_address_of_a_framework_follows_the_policy(key: str) -> None:
    """Starlette records the address of the client; OBS_REDACT_IP decides how it is exported."""
    assert redacted({key: "192.0.2.7"}) == {key: "[redacted:ip]"}
    network = SpanRedactor(RedactionPolicy(ip="truncate"))
    assert dict(network.span(span_of({key: "192.0.2.7"})).attributes or {}) == {key: "192.0.2.0"}


@pytest.mark.parametrize(
    "key",
    [
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
        "divan.outcome",
        "divan.request_id",
        "divan.kept",
        "error.type",
        "socketio.event",
        "socketio.namespace",
        "socketio.sid",
    ],
)
def test_attributes_of_our_own_spans_are_not_redacted_again(key: str) -> None:
    """They were checked before they were set: an id by its alphabet, an address by its flag, a client by its hash."""
    COUNTED.clear()
    assert redacted({key: TOKEN, "said": TOKEN}, scope=OURS) == {key: TOKEN, "said": "[redacted:github_token]"}
    assert COUNTED == ["github_token"]


def test_the_same_attribute_of_a_foreign_span_is_redacted() -> None:
    """A client's sid that a handler sets on its own span is a credential."""
    assert redacted({"socketio.sid": "planted"}) == {"socketio.sid": "[redacted:cookie]"}
    assert redacted({"http.method": TOKEN}) == {"http.method": "[redacted:github_token]"}
    assert redacted({"http.route": "/reset/{token}"}) == {"http.route": "/reset/{token}"}


def test_events_and_links_are_always_redacted() -> None:
    """A handler can add any event or link to our span."""
    event, link = (
        Event("e", {"client.address": "192.0.2.7"}),
        Link(SpanContext(1, 2, False), {"socketio.sid": "planted"}),
    )
    span = REDACTOR.span(ReadableSpan("a", events=[event], links=[link], instrumentation_scope=OURS))
    assert dict(span.events[0].attributes or {}) == {"client.address": "[redacted:ip]"}
    assert dict(span.links[0].attributes or {}) == {"socketio.sid": "[redacted:cookie]"}


def test_a_url_in_an_internal_span_keeps_its_path() -> None:
    """Only server spans lose the path of a URL; query values are removed from all spans."""
    assert redacted({"url.full": "https://a.example/b?q=planted"}, kind=SpanKind.INTERNAL) == {
        "url.full": "https://a.example/b?q=?"
    }


@pytest.mark.parametrize("key", ["db.statement", "db.query.text"])
@pytest.mark.parametrize("system", ["db.system", "db.system.name"])
def test_a_statement_is_exported_without_its_values(key: str, system: str) -> None:
    """SQL keeps its keywords and Redis its command, in the old and the new conventions."""
    sql = redacted({system: "postgresql", key: "SELECT name FROM t WHERE id = 'planted'"}, kind=SpanKind.CLIENT)
    assert sql[key] == "SELECT name FROM t WHERE id = ?"
    redis = redacted({system: "redis", key: "SET planted-key planted"}, kind=SpanKind.CLIENT)
    assert redis[key] == "SET ? ?"


@pytest.mark.parametrize("database", [DATABASE, DATABASE_NEW, {}], ids=["old", "new", "none"])
@pytest.mark.parametrize("kind", ["asyncpg.exceptions.DataError", "app.NotStored"])
def test_a_database_error_is_exported_without_its_message(database: dict[str, str], kind: str) -> None:
    """It is recognized by the span, by its type, or by its cause in the traceback. The frames are kept."""
    event = Event(
        "exception",
        {"exception.type": kind, "exception.message": "planted", "exception.stacktrace": STACKTRACE, "n": 1},
        7,
    )
    status = Status(StatusCode.ERROR, "DataError: planted")
    span = REDACTOR.span(span_of(database, event, status=status))
    assert "planted" not in span.to_json()
    assert span.status.description == "[redacted:database]"
    assert span.status.status_code is StatusCode.ERROR
    assert span.events[0].timestamp == 7
    assert dict(span.events[0].attributes or {}) == {
        "exception.type": kind,
        "exception.message": "[redacted:database]",
        "exception.stacktrace": FRAMES,
        "n": 1,
    }


def test_the_name_of_a_driver_is_enough_to_hide_the_message() -> None:
    """Without a traceback and without an attribute of a database."""
    event = Event("exception", {"exception.type": "asyncpg.exceptions.DataError", "exception.message": "planted"})
    assert "planted" not in REDACTOR.span(span_of({}, event)).to_json()


@pytest.mark.parametrize("attributes", [{"exception.message": "planted"}, {"exception.stacktrace": "E: planted"}])
def test_an_incomplete_exception_event_is_redacted(attributes: dict[str, str]) -> None:
    """The conventions require a type or a message, not both."""
    span = REDACTOR.span(span_of(DATABASE, Event("exception", attributes)))
    assert "planted" not in span.to_json()
    assert set(span.events[0].attributes or {}) == set(attributes)


def test_another_error_keeps_its_message() -> None:
    """Only secrets are removed. A module can be named like a driver, and an event like an exception."""
    stacktrace = f'  File "/srv/app.py", line 7, in f\n    raise KeyError\nredisless.Error: no {TOKEN}'
    attributes = {"exception.type": "redisless.Error", "exception.message": "no", "exception.stacktrace": stacktrace}
    plain = Event("said", {"exception.kind": "asyncpg.DataError", "text_length": 3})
    span = REDACTOR.span(span_of({}, Event("exception", attributes), plain, status=Status(StatusCode.ERROR, "no")))
    assert dict(span.events[0].attributes or {}) == {
        **attributes,
        "exception.stacktrace": stacktrace.replace(TOKEN, "[redacted:github_token]"),
    }
    assert dict(span.events[1].attributes or {}) == dict(plain.attributes or {})
    assert span.status.description == "no"


def test_an_exception_that_a_handler_records_is_redacted() -> None:
    """Our span records the module of an exception, like the SDK, so the driver is recognized."""
    span = our_span()
    try:
        raise sqlite3.IntegrityError("planted")
    except sqlite3.IntegrityError as error:
        span.record_exception(error)
    span.close("GET /", {}, None, 2)
    assert "planted" not in REDACTOR.span(span).to_json()


def test_a_list_with_a_secret_becomes_a_list_of_strings() -> None:
    """All items of a list must have one type. A list without a secret is unchanged."""
    assert redacted({"ids": (1, 2), "said": ("a", TOKEN)}) == {"ids": (1, 2), "said": ["a", "[redacted:github_token]"]}


def test_an_invalid_attribute_value_becomes_a_string() -> None:
    """The encoder always gets a type that it supports."""
    assert redacted({"nested": {"password": "planted"}}) == {"nested": "{'password': '[redacted:credential]'}"}


def test_a_span_without_foreign_data_is_not_copied() -> None:
    """Most spans are not copied. A span with data of a handler is redacted."""
    untouched, written = our_span(), our_span()
    written.set_attribute("note", TOKEN)
    for span in (untouched, written):
        span.close("GET /", {"http.route": "/"}, None, 2)
    assert REDACTOR.span(untouched) is untouched
    assert TOKEN not in REDACTOR.span(written).to_json()


def test_the_counts_of_dropped_data_are_exported() -> None:
    """The counts of attributes, events and links above the limits are kept."""
    limits = SpanLimits(max_span_attributes=1, max_events=1, max_links=1)
    tracer = TracerProvider(span_limits=limits, shutdown_on_exit=False).get_tracer("a")
    span: Any = tracer.start_span("a", links=[Link(SpanContext(1, 2, False))] * 4)
    span.set_attributes({"a": 1, "b": 2})
    for _ in range(3):
        span.add_event("e")
    span.end()
    copy = REDACTOR.span(span)
    assert (copy.dropped_attributes, copy.dropped_events, copy.dropped_links) == (1, 2, 3)


def test_an_exporter_is_flushed_and_shut_down_through_its_wrapper() -> None:
    """With the timeout of the caller and the result of the exporter."""

    class Slow(SpanExporter):
        def __init__(self) -> None:
            self.heard: list[object] = []

        def export(self, spans: Any) -> SpanExportResult:
            self.heard.append([span.name for span in spans])
            return SpanExportResult.FAILURE

        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            self.heard.append(timeout_millis)
            return False

        def shutdown(self) -> None:
            self.heard.append("shut down")

    slow = Slow()
    exporter = RedactingExporter(slow, REDACTOR)
    assert exporter.export([ReadableSpan(TOKEN)]) is SpanExportResult.FAILURE
    assert exporter.force_flush(7) is False
    exporter.shutdown()
    assert slow.heard == [["[redacted:github_token]"], 7, "shut down"]


def our_span() -> RecordingSpan:
    identity = SpanContext(1, 2, False, TraceFlags(1))
    return RecordingSpan("GET", identity, None, SpanKind.SERVER, Resource.get_empty(), OURS, 1, {})
