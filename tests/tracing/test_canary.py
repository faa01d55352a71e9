"""What the start-up canary looks at of a span."""

from __future__ import annotations

from opentelemetry.sdk.trace import ReadableSpan

from divan_obs_asgi.probes import canary_sinks as canaries
from divan_obs_asgi.redaction import RedactionPolicy


def test_a_span_is_seen_with_all_its_texts() -> None:
    """Name, attributes, status and the attributes of its events: a leak in one of them is seen."""
    seen = canaries.span_sink(RedactionPolicy(()))("a text", {"note": "a note", "nested": {"deep": "a field"}})
    attributes = ReadableSpan("", attributes={"note": "a note", "nested": "{'deep': 'a field'}"}).attributes
    assert seen == repr(["a text", attributes, "a text", [{"exception.message": "a text"}]]).encode()
