"""The server span as a collector receives it, over OTLP and gRPC."""

from __future__ import annotations

import logging

import anyio
import pytest
from opentelemetry import trace
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import divan_obs_asgi as obs
from divan_obs_asgi.testing import Conversation, converse, http_scope
from divan_obs_asgi.tracing.provider import exporter_url
from divan_obs_asgi.types import ASGIApp
from tests.servers.otlp import OtlpReceiver, attributes
from tests.stacks import Observed

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


async def greet(request: Request) -> Response:
    return PlainTextResponse("hello")


async def fail(request: Request) -> Response:
    raise LookupError("the database at postgres://admin:hunter2@db is gone")


def application() -> Starlette:
    return Starlette(routes=[Route("/hello/{name}", greet), Route("/fail", fail)])


def observed(receiver: OtlpReceiver, **flags: str) -> Observed:
    endpoint = receiver.endpoint.replace("http://", "grpc://")
    return Observed({"OBS_TRACING_ENABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, **flags})


def get(app: ASGIApp, path: str, *headers: tuple[bytes, bytes]) -> Conversation:
    return anyio.run(lambda: converse(app, http_scope(path, headers=headers)))


def test_a_request_is_a_span_and_a_line_of_one_trace(otlp_receiver: OtlpReceiver) -> None:
    """What the collector gets, what the log says and what the client is told carry the same ids."""
    mine = observed(otlp_receiver, OBS_SERVICE_NAME="greeter", OBS_ENV="test", OBS_COMMIT="abc123")
    answer = get(obs.build_stack(application(), mine.obs), "/hello/ada")
    mine.obs.flush()
    (span,) = otlp_receiver.wait_for(1)
    (line,) = mine.lines()

    assert (line["trace_id"], line["span_id"]) == (span.trace_id.hex(), span.span_id.hex())
    assert answer.header(b"traceparent") == [f"00-{line['trace_id']}-{line['span_id']}-01".encode()]
    assert span.name == "GET /hello/{name}"
    assert attributes(span) == {
        "http.request.method": "GET",
        "http.route": "/hello/{name}",
        "http.response.status_code": 200,
        "url.path": "/hello/{name}",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "divan.outcome": "ok",
        "divan.request_id": line["request_id"],
    }
    (resource,) = otlp_receiver.resource_spans()
    described = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
    assert described["service.name"] == "greeter"
    assert described["deployment.environment.name"] == "test"
    assert described["vcs.ref.head.revision"] == "abc123"


def test_the_callers_trace_is_continued(otlp_receiver: OtlpReceiver) -> None:
    """The span is a child of the caller's, with its trace state."""
    mine = observed(otlp_receiver)
    stack = obs.build_stack(application(), mine.obs)
    get(stack, "/hello/ada", (b"traceparent", f"00-{TRACE}-{SPAN}-01".encode()), (b"tracestate", b"vendor=1"))
    mine.obs.flush()
    (span,) = otlp_receiver.wait_for(1)
    assert (span.trace_id.hex(), span.parent_span_id.hex(), span.trace_state) == (TRACE, SPAN, "vendor=1")


def test_a_caller_who_records_nothing_is_followed(otlp_receiver: OtlpReceiver) -> None:
    """The ids are the trace's, in line and response, and no span is sent."""
    mine = observed(otlp_receiver)
    stack = obs.build_stack(application(), mine.obs)
    answer = get(stack, "/hello/ada", (b"traceparent", f"00-{TRACE}-{SPAN}-00".encode()))
    get(stack, "/hello/bob")
    mine.obs.flush()
    otlp_receiver.wait_for(1)
    assert len(otlp_receiver.spans()) == 1
    first, _ = mine.lines()
    assert first["trace_id"] == TRACE
    assert answer.header(b"traceparent") == [f"00-{TRACE}-{first['span_id']}-00".encode()]


def test_a_failure_is_an_error_without_its_text(otlp_receiver: OtlpReceiver) -> None:
    """The span says which kind of exception, and not what it says: that can hold a password."""
    mine = observed(otlp_receiver)
    get(obs.build_stack(application(), mine.obs), "/fail")
    mine.obs.flush()
    (span,) = otlp_receiver.wait_for(1)
    assert span.status.code == span.status.STATUS_CODE_ERROR
    assert attributes(span)["error.type"] == "LookupError"
    assert b"hunter2" not in span.SerializeToString()
    assert b"hunter2" not in mine.stream.getvalue()


def test_spans_of_the_application_are_children(otlp_receiver: OtlpReceiver) -> None:
    """Inside a handler the server span is the current one, for OpenTelemetry's own API too."""
    mine = observed(otlp_receiver)
    assert mine.obs.spans is not None
    tracer = mine.obs.spans.provider.get_tracer("application")

    async def work(request: Request) -> Response:
        trace.get_current_span().set_attribute("campus", "north")
        with tracer.start_as_current_span("work"):
            logging.getLogger("application").info("working")
        return PlainTextResponse("done")

    get(obs.build_stack(Starlette(routes=[Route("/work", work)]), mine.obs), "/work")
    mine.obs.flush()
    spans = {span.name: span for span in otlp_receiver.wait_for(2)}
    assert spans["work"].parent_span_id == spans["GET /work"].span_id
    assert spans["work"].trace_id == spans["GET /work"].trace_id
    assert attributes(spans["GET /work"])["campus"] == "north"


def test_a_collector_that_is_gone_changes_no_answer(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spans that cannot be delivered are the exporter's trouble."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.1")
    with OtlpReceiver() as receiver:
        mine = observed(receiver)
    caplog.set_level(logging.CRITICAL, "opentelemetry")
    answer = get(obs.build_stack(application(), mine.obs), "/hello/ada")
    assert (answer.status, answer.body) == (200, b"hello")
    mine.obs.flush()


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("grpc://otel-collector:4317", "http://otel-collector:4317"),
        ("grpcs://otel-collector:4317", "https://otel-collector:4317"),
        ("http://otel-collector:4317", "http://otel-collector:4317"),
        ("https://otel-collector:4317", "https://otel-collector:4317"),
    ],
)
def test_grpc_means_plaintext(given: str, used: str) -> None:
    """The exporter takes every scheme but http for TLS; SPEC's grpc:// would never get through."""
    assert exporter_url(given) == used
