"""No secret in a span that leaves the process: name, attributes, events, links, status and resource."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import Event, ReadableSpan, Span, TracerProvider
from opentelemetry.trace import Link, SpanContext, Status, StatusCode

from divan_obs_asgi.probes import canary_sinks as canaries
from divan_obs_asgi.probes.canary import FIELDS, SECRETS, TEXT
from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.testing import assert_no_secret
from divan_obs_asgi.testing.strategies import Planted, texts_with_a_secret
from divan_obs_asgi.tracing.export.redaction import SpanRedactor
from tests.recursion import ask
from tests.stacks import Observed
from tests.tracing.exported import Exported

TOKEN = "ghp_c4n4rYc4n4rYc4n4rYc4n4rYc4n4rYc4n4rY"
LINKED = SpanContext(1, 2, False)
REDACTOR = SpanRedactor(RedactionPolicy())


@contextmanager
def tracing(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, Exported, Observed]]:
    """Yield a tracer of a service's own provider, and what its exporter gets."""
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", f"owner=ada@mine.example,note={TOKEN},team=blue7")
    exported = Exported()
    observed = Observed({"OBS_TRACING_ENABLED": "true"}, span_exporter=exported)
    assert observed.obs.spans is not None
    provider = observed.obs.spans.provider
    assert isinstance(provider, TracerProvider)
    try:
        yield provider.get_tracer("a"), exported, observed
    finally:
        provider.shutdown()


def all_of(span: ReadableSpan) -> list[object]:
    """Return whatever of a span may leave, in every form an exporter could choose."""
    return [
        span.to_json(),
        span.name,
        dict(span.attributes or {}),
        [[event.name, dict(event.attributes or {})] for event in span.events],
        [dict(link.attributes or {}) for link in span.links],
        span.status.description,
        dict(span.resource.attributes),
    ]


def test_every_part_of_a_span_is_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the application as well as our own, and each redaction is counted for the sink."""
    with tracing(monkeypatch) as (tracer, exported, observed):
        with tracer.start_as_current_span(f"GET {TOKEN}", links=[Link(LINKED, {"why": TOKEN})]) as span:
            span.set_attributes({"url.full": f"/?token={TOKEN}", "password": "plain7", "n": 1, f"k {TOKEN}": "a"})
            span.set_attribute("said", ["hello", TOKEN])
            span.add_event(f"got {TOKEN}", {"by": TOKEN})
            span.record_exception(ValueError(TOKEN))
            span.set_status(Status(StatusCode.ERROR, f"no {TOKEN}"))
        observed.obs.flush()
        (told,) = exported.spans
    assert_no_secret(all_of(told), [TOKEN, "plain7"])
    assert told.name == "GET [redacted:github_token]"
    assert told.status.description == "no [redacted:github_token]"
    assert told.links[0].context == LINKED
    attributes = dict(told.attributes or {})
    assert attributes["password"] == "[redacted:credential]"
    assert list(attributes["said"]) == ["hello", "[redacted:github_token]"]  # type: ignore[arg-type]
    assert attributes["n"] == 1
    assert observed.value("divan_redactions_total", rule="github_token", sink="span") >= 6


def test_of_a_long_stacktrace_the_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """By our own span and by one that somebody else has recorded: the innermost frames say where it happened."""
    with tracing(monkeypatch) as (tracer, exported, observed):
        with pytest.raises(LookupError), observed.obs.work.span("ours"):
            ask(60)
        with pytest.raises(LookupError), tracer.start_as_current_span("theirs"):
            ask(60)
        observed.obs.flush()
        told = [str((span.events[0].attributes or {})["exception.stacktrace"]) for span in exported.spans]
    assert [text.endswith("LookupError: no tea\n") for text in told] == [True, True]
    assert max(map(len, told)) <= 2048


def test_the_resource_is_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an operator writes into OTEL_RESOURCE_ATTRIBUTES is sent with every span."""
    with tracing(monkeypatch) as (tracer, exported, observed):
        tracer.start_span("a").end()
        observed.obs.flush()
        (told,) = exported.spans
    assert_no_secret(all_of(told), [TOKEN, "ada@mine.example"])
    assert told.resource.attributes["team"] == "blue7"
    assert told.resource.attributes["service.name"] == "divan-api"
    assert told.resource.attributes["telemetry.sdk.language"] == "python"


def test_a_span_that_needs_nothing_is_as_it_was() -> None:
    """Times, ids, kinds, lists of every type, and the counts of what was dropped."""
    provider = TracerProvider()
    span = provider.get_tracer("a").start_span("GET /users/{id}", attributes={"n": 1, "x": 1.5, "ok": True})
    span.set_attributes({"numbers": [1, 2], "flags": [True, False], "shares": [0.5, 0.25], "words": ["a", "b"]})
    span.add_event("read", {"bytes": 3}, 7)
    span.end()
    assert isinstance(span, Span)
    told = REDACTOR.span(span)
    assert json.loads(told.to_json()) == json.loads(span.to_json())
    assert (told.dropped_attributes, told.dropped_events, told.dropped_links) == (0, 0, 0)


def test_a_value_is_remembered_only_where_nothing_was_found() -> None:
    """Statements repeat, and the policy is asked about each once; what it finds is counted each time."""
    found: list[str] = []
    redactor = SpanRedactor(RedactionPolicy(count=found.append))
    for _ in range(3):
        for key, value in (("db.statement", "SELECT a FROM b WHERE c = 'd'"), ("db.user", TOKEN), ("net.peer.port", 1)):
            redactor.attributes({key: value})
        told = redactor.attributes({"db.statement": "SET a b", "db.system": "redis"})
        assert told["db.statement"] == "SET ? ?"
        assert redactor.attributes({"db.statement": "SET a b"}) == {"db.statement": "SET a b"}
    assert len(found) == 3
    assert TOKEN not in str(redactor._unchanged)


def test_the_original_is_left_as_it_is() -> None:
    """A second processor of the application sees what it set."""
    span = ReadableSpan(TOKEN, attributes={"a": TOKEN}, events=[Event(TOKEN)])
    REDACTOR.span(span)
    assert (span.name, dict(span.attributes or {}), span.events[0].name) == (TOKEN, {"a": TOKEN}, TOKEN)


@given(texts_with_a_secret())
def test_no_secret_survives_anywhere_in_a_span(planted: Planted) -> None:
    """Whatever the secret and wherever it was put."""
    text = planted.value
    span = ReadableSpan(
        text,
        attributes={"a": text, "b": [text], "c": text.encode()},
        events=[Event(text, {"a": text})],
        links=[Link(LINKED, {"a": text})],
        status=Status(StatusCode.ERROR, text),
    )
    assert_no_secret(all_of(REDACTOR.span(span)), {planted.secret.kind: planted.secret.text})


@given(
    st.dictionaries(st.text(max_size=5), st.text() | st.binary() | st.lists(st.integers()) | st.floats() | st.none())
)
def test_any_attributes_are_told(attributes: dict[str, Any]) -> None:
    """The exporting thread lives on, with values that OpenTelemetry has."""
    for value in REDACTOR.attributes(attributes).values():
        assert isinstance(value, (str, bool, int, float, list))


def test_the_canary_sees_a_span_that_leaks() -> None:
    """The start-up probe's sink holds what a span would have told."""
    assert_no_secret(canaries.span_sink(RedactionPolicy())(TEXT, FIELDS), SECRETS)
    leaked = canaries.span_sink(RedactionPolicy(()))(TEXT, FIELDS)
    assert all(secret.encode() in leaked for secret in SECRETS)
