"""What a span's attributes and exceptions become on their way out, one by one."""

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


def told(attributes: dict[str, Any], **more: Any) -> dict[str, Any]:
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
def test_a_server_span_tells_the_template(key: str, value: str, expected: str) -> None:
    """Under the old names of the HTTP conventions and the new ones; the path holds names and tokens."""
    assert told({**ROUTE, key: value}) == {**ROUTE, key: expected}


@pytest.mark.parametrize("kind", [SpanKind.SERVER, SpanKind.INTERNAL])
def test_a_path_that_no_route_matched_is_not_told(kind: SpanKind) -> None:
    """A framework writes it into the span of every 404; upstream's span is an internal one below ours."""
    attributes = {"url.path": "/planted", "http.target": "/planted?planted", "http.url": "https://a.example/planted"}
    assert told(attributes, kind=kind) == {
        "url.path": "__unmatched__",
        "http.target": "__unmatched__",
        "http.url": "https://a.example/__unmatched__",
    }


def test_a_call_to_others_tells_its_path_and_no_query() -> None:
    """There is no template of theirs; the names of parameters say what was asked."""
    attributes = {"url.full": "https://planted:planted@a.example/users/7?q=planted", "url.path": "/users/7"}
    expected = {"url.full": "https://a.example/users/7?q=?", "url.path": "/users/7"}
    assert told(attributes, kind=SpanKind.CLIENT) == expected


def test_upstreams_plain_middleware_keeps_its_paths() -> None:
    """It knows no routes, and is chosen for its exact attributes; what looks like a secret is replaced all the same."""
    attributes = {"http.target": f"/users/7/{TOKEN}?q=planted"}
    assert told(attributes, scope=CONTRIB) == {"http.target": "/users/7/[redacted:github_token]?q=?"}


@pytest.mark.parametrize("key", ["client.address", "http.client_ip", "net.peer.ip", "net.sock.peer.addr"])
def test_an_address_that_a_framework_writes_is_for_the_policy(key: str) -> None:
    """Starlette tells who calls; OBS_REDACT_IP says whether that may leave."""
    assert told({key: "192.0.2.7"}) == {key: "[redacted:ip]"}
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
def test_what_our_spans_say_of_themselves_is_not_searched(key: str) -> None:
    """It was checked before it was set: an id by its alphabet, an address by its flag, a client by its pseudonym."""
    COUNTED.clear()
    assert told({key: TOKEN, "said": TOKEN}, scope=OURS) == {key: TOKEN, "said": "[redacted:github_token]"}
    assert COUNTED == ["github_token"]


def test_the_same_name_in_another_span_is_searched() -> None:
    """A client's id that a handler puts into a span of its own is a credential."""
    assert told({"socketio.sid": "planted"}) == {"socketio.sid": "[redacted:cookie]"}
    assert told({"http.method": TOKEN}) == {"http.method": "[redacted:github_token]"}
    assert told({"http.route": "/reset/{token}"}) == {"http.route": "/reset/{token}"}


def test_an_event_and_a_link_are_searched_whoever_adds_them() -> None:
    """A handler writes to our span what it likes."""
    event, link = (
        Event("e", {"client.address": "192.0.2.7"}),
        Link(SpanContext(1, 2, False), {"socketio.sid": "planted"}),
    )
    span = REDACTOR.span(ReadableSpan("a", events=[event], links=[link], instrumentation_scope=OURS))
    assert dict(span.events[0].attributes or {}) == {"client.address": "[redacted:ip]"}
    assert dict(span.links[0].attributes or {}) == {"socketio.sid": "[redacted:cookie]"}


def test_a_url_in_a_span_of_no_request_keeps_its_path() -> None:
    """It is no server's, which has a path beside it; the query goes all the same."""
    assert told({"url.full": "https://a.example/b?q=planted"}, kind=SpanKind.INTERNAL) == {
        "url.full": "https://a.example/b?q=?"
    }


@pytest.mark.parametrize("key", ["db.statement", "db.query.text"])
@pytest.mark.parametrize("system", ["db.system", "db.system.name"])
def test_a_statement_is_told_without_its_values(key: str, system: str) -> None:
    """SQL keeps its words, Redis its command; in the old conventions and in the new ones."""
    sql = told({system: "postgresql", key: "SELECT name FROM t WHERE id = 'planted'"}, kind=SpanKind.CLIENT)
    assert sql[key] == "SELECT name FROM t WHERE id = ?"
    redis = told({system: "redis", key: "SET planted-key planted"}, kind=SpanKind.CLIENT)
    assert redis[key] == "SET ? ?"


@pytest.mark.parametrize("database", [DATABASE, DATABASE_NEW, {}], ids=["old", "new", "none"])
@pytest.mark.parametrize("kind", ["asyncpg.exceptions.DataError", "app.NotStored"])
def test_a_databases_error_is_told_without_its_text(database: dict[str, str], kind: str) -> None:
    """Told by the span, by the error's type, and by the errors that its traceback shows before it; frames stay."""
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


def test_a_drivers_name_alone_makes_an_error_quiet() -> None:
    """Where there is no traceback, and no attribute of a database."""
    event = Event("exception", {"exception.type": "asyncpg.exceptions.DataError", "exception.message": "planted"})
    assert "planted" not in REDACTOR.span(span_of({}, event)).to_json()


@pytest.mark.parametrize("attributes", [{"exception.message": "planted"}, {"exception.stacktrace": "E: planted"}])
def test_half_an_exception_is_quiet_too(attributes: dict[str, str]) -> None:
    """The conventions ask for a type or a message, and not for both."""
    span = REDACTOR.span(span_of(DATABASE, Event("exception", attributes)))
    assert "planted" not in span.to_json()
    assert set(span.events[0].attributes or {}) == set(attributes)


def test_another_error_keeps_its_text() -> None:
    """All but the secrets in it: a module may be called like a driver, and an event like an exception."""
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


def test_an_exception_that_a_handler_records_on_our_span_is_quiet_too() -> None:
    """Our span names the module of an exception, as the SDK's does: by it the driver is known."""
    span = our_span()
    try:
        raise sqlite3.IntegrityError("planted")
    except sqlite3.IntegrityError as error:
        span.record_exception(error)
    span.close("GET /", {}, None, 2)
    assert "planted" not in REDACTOR.span(span).to_json()


def test_a_list_with_a_secret_is_a_list_of_texts() -> None:
    """OpenTelemetry has lists of one type; one without a secret is as it was."""
    assert told({"ids": (1, 2), "said": ("a", TOKEN)}) == {"ids": (1, 2), "said": ["a", "[redacted:github_token]"]}


def test_what_no_attribute_can_be_is_a_text() -> None:
    """Whatever a policy makes of it, the encoder gets a type that it knows."""
    assert told({"nested": {"password": "planted"}}) == {"nested": "{'password': '[redacted:credential]'}"}


def test_a_span_of_ours_that_nobody_wrote_to_is_not_copied() -> None:
    """Nearly every span; one that a handler has written to goes through the policy."""
    untouched, written = our_span(), our_span()
    written.set_attribute("note", TOKEN)
    for span in (untouched, written):
        span.close("GET /", {"http.route": "/"}, None, 2)
    assert REDACTOR.span(untouched) is untouched
    assert TOKEN not in REDACTOR.span(written).to_json()


def test_what_was_dropped_is_told() -> None:
    """Over the limits of attributes, events and links, each with its count."""
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
    """With the time that the caller has, and with what the exporter answers."""

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
