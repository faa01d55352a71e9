"""An exported span has no secrets in its name, attributes, events, links, status and resource."""

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
    """Yield a tracer of a service's provider, and the exported spans."""
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
    """Return all data of a span in every form that an exporter could use."""
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
    """This holds for spans of the application and of this library. Each redaction is counted for the sink."""
    with tracing(monkeypatch) as (tracer, exported, observed):
        with tracer.start_as_current_span(f"GET {TOKEN}", links=[Link(LINKED, {"why": TOKEN})]) as span:
            span.set_attributes({"url.full": f"/?token={TOKEN}", "password": "plain7", "n": 1, f"k {TOKEN}": "a"})
            span.set_attribute("said", ["hello", TOKEN])
            span.add_event(f"got {TOKEN}", {"by": TOKEN})
            span.record_exception(ValueError(TOKEN))
            span.set_status(Status(StatusCode.ERROR, f"no {TOKEN}"))
        observed.obs.flush()
        (redacted,) = exported.spans
    assert_no_secret(all_of(redacted), [TOKEN, "plain7"])
    assert redacted.name == "GET [redacted:github_token]"
    assert redacted.status.description == "no [redacted:github_token]"
    assert redacted.links[0].context == LINKED
    attributes = dict(redacted.attributes or {})
    assert attributes["password"] == "[redacted:credential]"
    assert list(attributes["said"]) == ["hello", "[redacted:github_token]"]  # type: ignore[arg-type]
    assert attributes["n"] == 1
    assert observed.value("divan_redactions_total", rule="github_token", sink="span") >= 6


def test_a_long_stacktrace_keeps_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """On our own spans and on foreign spans. The innermost frames show where it happened."""
    with tracing(monkeypatch) as (tracer, exported, observed):
        with pytest.raises(LookupError), observed.obs.work.span("ours"):
            ask(60)
        with pytest.raises(LookupError), tracer.start_as_current_span("theirs"):
            ask(60)
        observed.obs.flush()
        redacted = [str((span.events[0].attributes or {})["exception.stacktrace"]) for span in exported.spans]
    assert [text.endswith("LookupError: no tea\n") for text in redacted] == [True, True]
    assert max(map(len, redacted)) <= 2048


def test_the_resource_is_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The values of OTEL_RESOURCE_ATTRIBUTES are sent with every batch."""
    with tracing(monkeypatch) as (tracer, exported, observed):
        tracer.start_span("a").end()
        observed.obs.flush()
        (redacted,) = exported.spans
    assert_no_secret(all_of(redacted), [TOKEN, "ada@mine.example"])
    assert redacted.resource.attributes["team"] == "blue7"
    assert redacted.resource.attributes["service.name"] == "divan-api"
    assert redacted.resource.attributes["telemetry.sdk.language"] == "python"


def test_a_span_without_secrets_is_unchanged() -> None:
    """Its times, ids, kinds, lists of every type and counts of dropped data are kept."""
    provider = TracerProvider()
    span = provider.get_tracer("a").start_span("GET /users/{id}", attributes={"n": 1, "x": 1.5, "ok": True})
    span.set_attributes({"numbers": [1, 2], "flags": [True, False], "shares": [0.5, 0.25], "words": ["a", "b"]})
    span.add_event("read", {"bytes": 3}, 7)
    span.end()
    assert isinstance(span, Span)
    redacted = REDACTOR.span(span)
    assert json.loads(redacted.to_json()) == json.loads(span.to_json())
    assert (redacted.dropped_attributes, redacted.dropped_events, redacted.dropped_links) == (0, 0, 0)


def test_only_unchanged_values_are_cached() -> None:
    """Each repeated statement is redacted once. If something is found, it is counted each time."""
    found: list[str] = []
    redactor = SpanRedactor(RedactionPolicy(count=found.append))
    for _ in range(3):
        for key, value in (("db.statement", "SELECT a FROM b WHERE c = 'd'"), ("db.user", TOKEN), ("net.peer.port", 1)):
            redactor.attributes({key: value})
        redacted = redactor.attributes({"db.statement": "SET a b", "db.system": "redis"})
        assert redacted["db.statement"] == "SET ? ?"
        assert redactor.attributes({"db.statement": "SET a b"}) == {"db.statement": "SET a b"}
    assert len(found) == 3
    assert TOKEN not in str(redactor._unchanged)


def test_the_original_span_is_not_changed() -> None:
    """A second processor of the application sees the original values."""
    span = ReadableSpan(TOKEN, attributes={"a": TOKEN}, events=[Event(TOKEN)])
    REDACTOR.span(span)
    assert (span.name, dict(span.attributes or {}), span.events[0].name) == (TOKEN, {"a": TOKEN}, TOKEN)


@given(texts_with_a_secret())
def test_no_secret_survives_anywhere_in_a_span(planted: Planted) -> None:
    """This holds for every secret in every part of the span."""
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
def test_any_attributes_can_be_redacted(attributes: dict[str, Any]) -> None:
    """The redaction does not raise, and returns values that OpenTelemetry supports."""
    for value in REDACTOR.attributes(attributes).values():
        assert isinstance(value, (str, bool, int, float, list))


def test_the_canary_detects_a_leak_in_a_span() -> None:
    """The sink of the start-up probe has the data that a span would export."""
    assert_no_secret(canaries.span_sink(RedactionPolicy())(TEXT, FIELDS), SECRETS)
    leaked = canaries.span_sink(RedactionPolicy(()))(TEXT, FIELDS)
    assert all(secret.encode() in leaked for secret in SECRETS)
