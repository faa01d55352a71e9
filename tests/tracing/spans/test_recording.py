"""Our recording span behaves like the SDK's span."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.trace.v1.trace_pb2 import Span as EncodedSpan
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from divan_obs_asgi.tracing.spans.recording import RecordingSpan

ELSEWHERE = SpanContext(3, 4, True, TraceFlags(1))


def raised() -> ValueError:
    try:
        raise ValueError("on purpose")
    except ValueError as error:
        return error


ERROR = raised()


def add_links(span: Span) -> None:
    for number in range(200):
        span.add_link(ELSEWHERE, {"a": number})


HANDLERS: dict[str, Callable[[Span], object]] = {
    "nothing": lambda span: None,
    "attributes": lambda span: span.set_attributes({"a": 1, "b": [1.5, 2.5], "c": "text"}),
    "attribute twice": lambda span: span.set_attributes({"a": 1}) or span.set_attribute("a", 2),
    "too many attributes": lambda span: [span.set_attribute(f"n{number}", number) for number in range(200)],
    "too many events": lambda span: [span.add_event("tick", {"n": number}, timestamp=number) for number in range(200)],
    "event with a bad attribute": lambda span: span.add_event("e", {"": 1, "fine": True}, timestamp=5),
    "links": add_links,
    "invalid link": lambda span: span.add_link(SpanContext(0, 0, True)),
    "ok is final": lambda span: [span.set_status(StatusCode.OK), span.set_status(StatusCode.ERROR, "late")],
    "unset changes nothing": lambda span: [span.set_status(StatusCode.ERROR, "why"), span.set_status(StatusCode.UNSET)],
    "status object": lambda span: span.set_status(Status(StatusCode.ERROR, "because")),
    "exception": lambda span: span.record_exception(ERROR, {"mine": 1}, timestamp=9),
    "exception of a module": lambda span: span.record_exception(sqlite3.IntegrityError("no"), timestamp=9),
}


@pytest.mark.parametrize("handler", HANDLERS.values(), ids=HANDLERS)
def test_changes_of_a_handler_are_exported_like_those_of_the_sdks_span(handler: Callable[[Span], object]) -> None:
    """Attributes, events, links and status are limited, validated and encoded like the SDK does."""
    ours = recording()
    provider = TracerProvider(resource=ours.resource, shutdown_on_exit=False)
    theirs = provider.get_tracer("t").start_span("GET", start_time=1)
    for span in (ours, theirs):
        handler(span)
    ours.close("GET /", {}, None, 2)
    theirs.update_name("GET /")
    theirs.end(2)
    assert encoded(ours) == encoded(theirs)


def test_the_record_overrides_attributes_of_a_handler() -> None:
    """An attribute that a handler has set under one of our keys is replaced."""
    span = recording()
    span.set_attribute("http.route", "/mine")
    span.close("GET /users/{id}", {"http.route": "/users/{id}"}, Status(StatusCode.ERROR), 2)
    assert dict(span.attributes or {}) == {"http.route": "/users/{id}"}
    assert (span.name, span.status.status_code, span.end_time) == ("GET /users/{id}", StatusCode.ERROR, 2)


def test_a_handler_cannot_end_the_span() -> None:
    """The span ends with the response; a handler that calls `end` does not cut it short."""
    span = recording()
    span.end()
    assert span.is_recording()


def test_a_closed_span_cannot_be_changed(caplog: pytest.LogCaptureFixture) -> None:
    """If a background task changes the span of its request, a warning is logged and nothing changes."""
    span = recording()
    span.close("GET /", {"a": 1}, None, 2)
    before = encoded(span)
    for handler in HANDLERS.values():
        handler(span)
    span.update_name("other")
    assert encoded(span) == before
    assert "A span was changed after its request had ended; the change is dropped." in caplog.messages


def recording() -> RecordingSpan:
    identity = SpanContext(1, 2, False, TraceFlags(1))
    scope = InstrumentationScope("t", "")
    return RecordingSpan("GET", identity, None, SpanKind.SERVER, Resource.get_empty(), scope, 1)


def encoded(span: Any) -> EncodedSpan:
    """Return the OTLP message of a span, without ids and times, which always differ."""
    message: EncodedSpan = encode_spans([span]).resource_spans[0].scope_spans[0].spans[0]
    for field in ("trace_id", "span_id", "kind"):
        message.ClearField(field)
    return message
