"""The texts of a span that the start-up canary checks."""

from __future__ import annotations

from opentelemetry.sdk.trace import ReadableSpan

from divan_obs_asgi.probes import canary_sinks as canaries
from divan_obs_asgi.redaction import RedactionPolicy


def test_the_canary_checks_all_texts_of_a_span() -> None:
    """A leak in the name, attributes, status or event attributes is detected."""
    seen = canaries.span_sink(RedactionPolicy(()))("a text", {"note": "a note", "nested": {"deep": "a field"}})
    attributes = ReadableSpan("", attributes={"note": "a note", "nested": "{'deep': 'a field'}"}).attributes
    assert seen == repr(["a text", attributes, "a text", [{"exception.message": "a text"}]]).encode()
