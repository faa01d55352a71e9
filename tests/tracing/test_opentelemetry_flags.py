"""What the variables of OpenTelemetry change in spans, log lines and metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from opentelemetry.sdk.trace import ReadableSpan

import divan_obs_asgi as obs
from divan_obs_asgi import ImproperlyConfigured
from divan_obs_asgi.testing import converse, http_scope
from divan_obs_asgi.types import Receive, Scope, Send
from tests.stacks import Observed
from tests.tracing.exported import Exported

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
W3C = (b"traceparent", f"00-{TRACE}-{SPAN}-01".encode())
B3 = (b"b3", f"{TRACE}-{SPAN}-1".encode())
JAEGER = (b"uber-trace-id", f"{TRACE}:{SPAN}:0:1".encode())
MULTI = ((b"x-b3-traceid", TRACE.encode()), (b"x-b3-spanid", SPAN.encode()), (b"x-b3-sampled", b"1"))


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})


class Service:
    """A service, and what it has sent and exported."""

    def __init__(self, **environ: str) -> None:
        self.exported = Exported()
        self.observed = Observed({"OBS_TRACING_ENABLED": "true", **environ}, span_exporter=self.exported)
        self.app = obs.build_stack(app, self.observed.obs)

    def request(self, *headers: tuple[bytes, bytes], path: str = "/") -> Any:
        return anyio.run(converse, self.app, http_scope(path, headers=headers))

    def spans(self) -> Sequence[ReadableSpan]:
        self.observed.obs.flush()
        return self.exported.spans

    def access_line(self) -> dict[str, Any]:
        (line,) = [line for line in self.observed.lines() if line["logger"] == "divan_obs_asgi.access"]
        return line


# OTEL_PROPAGATORS.


def trace_of(propagators: str, *headers: tuple[bytes, bytes]) -> str | None:
    """Return the trace and the span of the parent that a request with these headers has."""
    service = Service(OTEL_PROPAGATORS=propagators)
    service.request(*headers)
    (span,) = service.spans()
    return None if span.parent is None else f"{span.parent.trace_id:032x}-{span.parent.span_id:016x}"


PARENT = f"{TRACE}-{SPAN}"


@pytest.mark.parametrize(
    ("propagators", "headers"),
    [
        ("b3", [B3]),
        ("b3", MULTI),
        ("b3multi", MULTI),
        ("b3multi", [B3]),
        ("jaeger", [JAEGER]),
        ("tracecontext", [W3C]),
        ("baggage,tracecontext", [W3C]),
        ("tracecontext,b3,jaeger", [JAEGER]),
    ],
)
def test_the_parent_is_read_in_each_format_of_the_list(propagators: str, headers: list[tuple[bytes, bytes]]) -> None:
    assert trace_of(propagators, *headers) == PARENT


@pytest.mark.parametrize(
    ("propagators", "header"),
    [
        ("b3", W3C),
        ("jaeger", B3),
        ("none", W3C),
        ("baggage", W3C),
        ("tracecontext,baggage", B3),
        ("b3", (b"b3", b"")),
        ("b3", (b"b3", b"----")),
        ("b3", (b"b3", b"\xff" * 300)),
        ("b3", (b"b3", f"{'0' * 32}-{SPAN}-1".encode())),
        ("jaeger", (b"uber-trace-id", b"1:2")),
        ("jaeger", (b"uber-trace-id", b"x:y:z:1")),
        ("jaeger", (b"uber-trace-id", f"{TRACE}:{SPAN}:0:zz".encode())),
        ("xray", (b"x-amzn-trace-id", b"Root=1;;=;Parent")),
        ("tracecontext,b3", (b"traceparent", b"00-zz")),
    ],
)
def test_other_formats_and_malformed_headers_start_a_new_trace(propagators: str, header: tuple[bytes, bytes]) -> None:
    assert trace_of(propagators, header) is None


def test_a_later_format_wins() -> None:
    other = (b"b3", f"{'1' * 32}-{'2' * 16}-1".encode())
    assert trace_of("b3,tracecontext", other, W3C) == PARENT
    assert trace_of("tracecontext,b3", other, W3C) == f"{'1' * 32}-{'2' * 16}"


def test_every_missing_propagator_is_named_with_the_other_bad_flags() -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        Service(OTEL_PROPAGATORS="b3,ottrace,b4", OTEL_TRACES_SAMPLER="sometimes", OTEL_TRACES_EXPORTER="zipkin")
    assert str(caught.value).splitlines() == [
        "OTEL_TRACES_SAMPLER is 'sometimes'; expected one of always_on, always_off, traceidratio, "
        "parentbased_always_on, parentbased_always_off, parentbased_traceidratio.",
        "OTEL_TRACES_EXPORTER is 'zipkin'; expected otlp, console, both separated by a comma, or none.",
        "OTEL_PROPAGATORS has 'ottrace'; expected it to be installed: pip install opentelemetry-propagator-ot-trace.",
        "OTEL_PROPAGATORS has 'b4'; expected tracecontext, baggage, b3, b3multi, jaeger, xray, or the name of another "
        "installed propagator.",
    ]


# OTEL_SDK_DISABLED.


@pytest.mark.parametrize("native", ["suppress", "nest", "defer"])
def test_a_disabled_sdk_makes_no_spans(native: str) -> None:
    """A request without a caller has no ids, and its response no `traceparent`."""
    service = Service(OTEL_SDK_DISABLED="true", OBS_TRACING_NATIVE=native)
    response = service.request()
    assert (response.status, response.header(b"traceparent")) == (200, [])
    assert service.spans() == []
    line = service.access_line()
    assert (line["trace_id"], line["span_id"]) == ("", "")


@pytest.mark.parametrize("native", ["suppress", "nest", "defer"])
def test_a_disabled_sdk_passes_the_callers_trace_on(native: str) -> None:
    """The caller's span is the parent of the next service's span, sampled as it was."""
    service = Service(OTEL_SDK_DISABLED="true", OBS_TRACING_NATIVE=native)
    response = service.request(W3C)
    assert service.spans() == []
    line = service.access_line()
    assert (line["trace_id"], line["span_id"]) == (TRACE, SPAN)
    assert response.header(b"traceparent") == [W3C[1]]


def test_the_applications_own_work_has_no_spans_with_a_disabled_sdk() -> None:
    service = Service(OTEL_SDK_DISABLED="true")
    with service.observed.obs.work.span("work") as span:
        assert not span.is_recording()
    assert service.spans() == []


# Names.


def test_spans_lines_and_metrics_have_the_same_names() -> None:
    service = Service(
        OTEL_RESOURCE_ATTRIBUTES="service.name=a,service.version=3,deployment.environment.name=test,team=x%20y,broken",
        OTEL_SERVICE_NAME="shop",
    )
    service.request()
    (span,) = service.spans()
    names = ("service.name", "service.version", "deployment.environment.name", "team")
    assert [dict(span.resource.attributes or {})[name] for name in names] == ["shop", "3", "test", "x y"]
    line = service.access_line()
    assert (line["service"], line["env"]) == ("shop", "test")
    (build,) = service.observed.samples("divan_obs_build_info")
    assert dict(build)["service_version"] == "3"


# Limits.


def test_the_attributes_of_this_library_obey_the_limits() -> None:
    """Their number and the length of each."""
    service = Service(OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT="3", OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT="2")
    service.request()
    (span,) = service.spans()
    values = dict(span.attributes or {})
    assert len(values) == 3
    assert all(len(value) <= 2 for value in values.values() if isinstance(value, str))
    assert span.dropped_attributes > 0


@pytest.mark.parametrize(
    ("environ", "events", "links", "attributes"),
    [
        ({}, 3, 3, 3),
        ({"OTEL_SPAN_EVENT_COUNT_LIMIT": "2", "OTEL_SPAN_LINK_COUNT_LIMIT": "1"}, 2, 1, 3),
        ({"OTEL_ATTRIBUTE_COUNT_LIMIT": "1"}, 3, 3, 1),
        ({"OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT": "2", "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT": "2"}, 3, 3, 2),
        ({"OTEL_SPAN_EVENT_COUNT_LIMIT": "0", "OTEL_SPAN_LINK_COUNT_LIMIT": "0"}, 0, 0, 0),
    ],
)
@pytest.mark.parametrize("where", ["server", "work"])
def test_events_and_links_obey_the_limits(
    where: str, environ: dict[str, str], events: int, links: int, attributes: int
) -> None:
    """Of the light spans of requests as of the SDK's."""
    from opentelemetry.trace import SpanContext, get_current_span

    async def busy(scope: Scope, receive: Receive, send: Send) -> None:
        if where == "work":
            with service.observed.obs.work.span("work"):
                fill()
        else:
            fill()
        await app(scope, receive, send)

    def fill() -> None:
        span, three = get_current_span(), {"a": 1, "b": 2, "c": 3}
        for number in range(3):
            span.add_event(f"event {number}", three)
            span.add_link(SpanContext(1, number + 1, False), three)

    service = Service(**environ)
    service.app = obs.build_stack(busy, service.observed.obs)
    service.request()
    span = service.spans()[0]
    assert (len(span.events), len(span.links)) == (events, links)
    for each in (*span.events, *span.links):
        bounded: Any = each
        assert len(bounded.attributes or {}) == attributes


# OTEL_PYTHON_EXCLUDED_URLS.


@pytest.mark.parametrize(
    ("pattern", "path", "excluded"),
    [
        ("health", "/api/healthy", True),
        ("^/health$", "/health", True),
        ("^/health$", "/healthy", False),
        ("/a,/b", "/b", True),
        (r"^/(?!api/)", "/shop", True),
        (r"^/(?!api/)", "/api/shop", False),
        ("testserver", "/", False),
        ("^http", "/http", False),
        ("q=1", "/", False),
    ],
)
@pytest.mark.parametrize("name", ["OTEL_PYTHON_EXCLUDED_URLS", "OTEL_PYTHON_STARLETTE_EXCLUDED_URLS"])
def test_an_excluded_path_has_no_span(name: str, pattern: str, path: str, excluded: bool) -> None:
    """Only the path is compared: a client chooses the Host header and the query. The line is complete otherwise."""
    service = Service(**{name: pattern})
    scope = {**http_scope(path, headers=[(b"host", b"testserver")]), "query_string": b"q=1"}
    anyio.run(converse, service.app, scope)
    assert len(service.spans()) == (0 if excluded else 1)
    line = service.access_line()
    assert (line["trace_id"] == "") is excluded
    assert line["status"] == 200


def test_the_variable_of_a_framework_overrides_the_general_one() -> None:
    service = Service(OTEL_PYTHON_EXCLUDED_URLS="/a", OTEL_PYTHON_FASTAPI_EXCLUDED_URLS="/b")
    service.request(path="/a"), service.request(path="/b")
    assert len(service.spans()) == 1


def test_a_pattern_takes_no_time_that_a_client_chooses() -> None:
    """RE2 is linear; what it does not have is compared with short paths only."""
    service = Service(OTEL_PYTHON_EXCLUDED_URLS=r"(a+)+$,(?=x)(b+)+$")
    service.request(path="/" + "a" * 50_000 + "!")
    service.request(path="/x" + "b" * 50_000 + "!")
    assert len(service.spans()) == 2


# OTEL_METRICS_EXEMPLAR_FILTER.


@pytest.mark.parametrize(
    ("chosen", "sampler", "there"),
    [
        ("trace_based", "always_on", True),
        ("trace_based", "always_off", False),
        ("always_on", "always_off", True),
        ("always_off", "always_on", False),
    ],
)
def test_exemplars_are_of_the_requests_that_the_filter_names(chosen: str, sampler: str, there: bool) -> None:
    service = Service(OTEL_METRICS_EXEMPLAR_FILTER=chosen, OTEL_TRACES_SAMPLER=sampler)
    service.request()
    samples = [
        sample
        for family in service.observed.obs.metrics.registry.collect()
        if family.name == "divan_http_request_duration_seconds"
        for sample in family.samples
    ]
    assert samples
    assert any(sample.exemplar for sample in samples) is there


def test_a_disabled_instrumentation_is_not_traced() -> None:
    service = Service(OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="httpx", OBS_TRACING_CLIENTS="httpx,redis")
    assert service.observed.obs.spans is not None
    assert service.observed.obs.spans.clients._names == ("redis",)
