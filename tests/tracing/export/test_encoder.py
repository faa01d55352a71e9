"""Our encoder writes the same bytes as OpenTelemetry's encoder."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from divan_obs_asgi.tracing.export.encoder import SpanEncoder
from divan_obs_asgi.tracing.spans.recording import RecordingSpan

RESOURCES = [
    Resource({"service.name": "divan", "n": 1}),
    Resource({"service.name": "divan", "n": 1}),  # equal to the first, and another object
    Resource({"service.name": "other"}, "https://example.org/schema"),
    Resource({}),
]
SCOPES = [
    InstrumentationScope("divan_obs_asgi", "0.1.0"),
    InstrumentationScope("divan_obs_asgi", "0.1.0"),
    InstrumentationScope("other", "1", "https://example.org/scope"),
    InstrumentationScope(""),
]
ids = st.integers(1, 2**64 - 1)
trace_ids = st.integers(1, 2**128 - 1)
texts = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    ["x" * 127, "y" * 300]
)
values = texts | st.integers(-5, 2**63 - 1) | st.booleans() | st.floats(allow_nan=False) | st.lists(texts, max_size=2)
parents = st.none() | st.builds(
    SpanContext, st.just(1), ids, st.booleans(), st.just(TraceFlags(1)), st.just(TraceState([("vendor", "1")]))
)


@st.composite
def ours(draw: st.DrawFn) -> ReadableSpan:
    """A server span of this library, with any changes that a handler may have made."""
    state = draw(st.none() | st.just(TraceState([("vendor", "1"), ("b", "2")])))
    identity = SpanContext(draw(st.integers(1, 2**128 - 1)), draw(ids), False, TraceFlags(1), state)
    span = RecordingSpan(
        "GET",
        identity,
        draw(parents),
        draw(st.sampled_from(SpanKind)),
        draw(st.sampled_from(RESOURCES)),
        draw(st.sampled_from(SCOPES)),
        draw(st.integers(0, 2**63)),
        draw(st.dictionaries(texts, values, max_size=3)),  # type: ignore[arg-type]
        draw(st.just(()) | st.tuples(st.builds(Link, st.builds(SpanContext, trace_ids, ids, st.booleans())))),
    )
    if draw(st.booleans()):
        span.set_attribute("by", "a handler")
    if draw(st.booleans()):
        span.add_event("event", {"n": 1}, timestamp=5)
    if draw(st.booleans()):
        span.add_link(SpanContext(3, 4, True, TraceFlags(1)))
    status = draw(
        st.sampled_from([None, Status(StatusCode.ERROR), Status(StatusCode.OK), Status(StatusCode.ERROR, "no")])
    )
    attributes: dict[str, Any] = draw(st.dictionaries(st.sampled_from(["http.route", "divan.request_id"]), texts))
    span.close(draw(texts), attributes, status, draw(st.integers(0, 2**63)))
    return span


class Ids(IdGenerator):
    """A deterministic id generator: a strategy must not use random numbers."""

    def generate_span_id(self) -> int:
        return 5

    def generate_trace_id(self) -> int:
        return 6


@st.composite
def of_the_sdk(draw: st.DrawFn) -> ReadableSpan:
    provider = TracerProvider(
        ALWAYS_ON, resource=draw(st.sampled_from(RESOURCES)), shutdown_on_exit=False, id_generator=Ids()
    )
    scope = draw(st.sampled_from(SCOPES))
    tracer = provider.get_tracer(scope.name, scope.version, schema_url=scope.schema_url)
    key = draw(st.sampled_from(["a", "db.statement", "\n"]))
    number = draw(st.integers(-2, 2**63 - 1) | st.booleans())
    span = tracer.start_span("work", attributes={key: draw(texts), "net.peer.port": number})
    if draw(st.booleans()):
        span.add_event("event")
    if draw(st.booleans()):
        span.set_status(StatusCode.ERROR, draw(st.none() | texts))
    span.end()
    assert isinstance(span, ReadableSpan)
    return span


encoder = SpanEncoder()


def with_attributes(*values: Any) -> list[ReadableSpan]:
    """Return a span for each value, under the same key."""
    spans: list[ReadableSpan] = []
    for value in values:
        span = server_span(7)
        span.plain_attributes["n"] = value
        spans.append(span)
    return spans


def server_span(number: int) -> RecordingSpan:
    identity = SpanContext(number, number, False, TraceFlags(1))
    start: dict[str, Any] = {"http.request.method": "GET", "url.scheme": "https", "network.protocol.version": "2"}
    span = RecordingSpan("GET", identity, None, SpanKind.SERVER, RESOURCES[0], SCOPES[0], number, start)
    end: dict[str, Any] = {"http.route": "/a", "http.response.status_code": 200, "divan.request_id": f"{number:032x}"}
    span.close("GET /a", end, None, number + 1)
    return span


@given(st.lists(ours() | of_the_sdk(), max_size=6))
@example([])
# Equal, and encoded differently.
@example(with_attributes(1, True, 1.0, 0, False))
# What cannot be a key of a dictionary.
@example(with_attributes(["a"], ["b"]))
def test_every_batch_is_encoded_like_opentelemetry_does(spans: list[ReadableSpan]) -> None:
    """For any content and any mix of spans, and whatever is in the caches."""
    assert encoder.encoded(spans) == encode_spans(spans).SerializeToString()


def test_a_server_span_uses_the_fast_path() -> None:
    """The attributes of the middleware are cached, except for the request id."""
    own = SpanEncoder()
    for number in range(1, 100):
        assert own._span(server_span(number)) is not None
    assert len(own._pairs) == 5


def test_a_database_span_uses_the_fast_path() -> None:
    """Its statement and server are cached. Other attributes are not, and the cache of our spans is unaffected."""
    own, tracer = (
        SpanEncoder(),
        TracerProvider(shutdown_on_exit=False).get_tracer("opentelemetry.instrumentation.redis"),
    )
    for number in range(100):
        span = tracer.start_span("GET", attributes={"db.statement": "GET ?", "net.peer.port": 6379, "mine": number})
        span.end()
        assert isinstance(span, ReadableSpan)
        assert own._span(span) is not None
    assert len(own._foreign_pairs) == 2
    assert not own._pairs


def test_the_caches_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values that are unique to each request cost time but no memory."""
    own = SpanEncoder()
    for number in range(1, 6000):
        span = server_span(number)
        span.plain_attributes["http.route"] = f"/{number}"
        own.encoded([span])
    assert len(own._pairs) == 4096
