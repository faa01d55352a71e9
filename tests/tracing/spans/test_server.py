"""The server span as a collector receives it, over OTLP and gRPC."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import pytest
from opentelemetry import trace
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import divan_obs_asgi as obs
from divan_obs_asgi import middlewares
from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.connection.routes import RouteTemplates
from divan_obs_asgi.internal_errors import InternalErrors
from divan_obs_asgi.testing import SCENARIOS, Conversation, converse, http_scope
from divan_obs_asgi.tracing.spans.tail_sampling import TailSampler
from divan_obs_asgi.types import ASGIApp, Message, Scope
from tests.servers.otlp import OtlpReceiver, attributes
from tests.stacks import Observed
from tests.tracing.exported import Exported

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


def test_the_span_and_the_log_line_of_a_request_have_the_same_trace(otlp_receiver: OtlpReceiver) -> None:
    """The exported span, the log line and the response have the same ids."""
    mine = observed(otlp_receiver, OBS_SERVICE_NAME="greeter", OBS_ENV="test", OBS_COMMIT="abc123")
    answer = get(obs.build_stack(application(), mine.obs), "/hello/ada")
    mine.obs.flush()
    (span,) = otlp_receiver.wait_for(1)
    (line,) = mine.lines()

    assert (line["trace_id"], line["span_id"]) == (span.trace_id.hex(), span.span_id.hex())
    assert answer.header(b"traceparent") == [f"00-{line['trace_id']}-{line['span_id']}-03".encode()]
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


def test_an_unsampled_caller_is_followed(otlp_receiver: OtlpReceiver) -> None:
    """The log line and the response have the ids of the trace, and no span is exported."""
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
    """The span has the type of the exception but not its message, which can contain a password."""
    mine = observed(otlp_receiver)
    get(obs.build_stack(application(), mine.obs), "/fail")
    mine.obs.flush()
    (span,) = otlp_receiver.wait_for(1)
    assert span.status.code == span.status.STATUS_CODE_ERROR
    assert attributes(span)["error.type"] == "LookupError"
    assert b"hunter2" not in span.SerializeToString()
    assert b"hunter2" not in mine.stream.getvalue()


def test_spans_of_the_application_are_children(otlp_receiver: OtlpReceiver) -> None:
    """Inside a handler the server span is the current span of OpenTelemetry."""
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


def test_a_missing_collector_does_not_change_a_response(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the exporter is affected by spans that cannot be delivered."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.1")
    with OtlpReceiver() as receiver:
        mine = observed(receiver)
    caplog.set_level(logging.CRITICAL, "opentelemetry")
    answer = get(obs.build_stack(application(), mine.obs), "/hello/ada")
    assert (answer.status, answer.body) == (200, b"hello")
    mine.obs.flush()
    assert mine.obs.spans is not None
    provider: Any = mine.obs.spans.provider
    provider.shutdown()


class Spans:
    """Requests through a stack, and the exported spans."""

    def __init__(self, app: ASGIApp, **flags: str) -> None:
        self.exported = Exported()
        self.observed = Observed({"OBS_TRACING_ENABLED": "true", **flags}, span_exporter=self.exported)
        self.stack = obs.build_stack(app, self.observed.obs)

    def get(self, path: str = "/hello/ada", *headers: tuple[bytes, bytes], **scope: object) -> Conversation:
        answer = anyio.run(converse, self.stack, {**http_scope(path, headers=headers), **scope})
        self.observed.obs.flush()
        return answer

    def attributes(self) -> dict[str, object]:
        """Return the attributes of the only span."""
        (span,) = self.exported.spans
        return dict(span.attributes or {})


@pytest.mark.parametrize(
    ("policy", "client", "address"),
    [
        ("none", "203.0.113.7", None),
        ("network", "203.0.113.7", "203.0.113.0"),
        ("network", "2001:db8:1:2::3", "2001:db8:1::"),
        ("network", "fe80::1%eth0", "fe80::"),
        ("full", "203.0.113.7", "203.0.113.7"),
        ("full", "testclient", None),
        ("network", "/run/app.sock", None),
    ],
)
def test_the_address_of_the_client_follows_the_flag(policy: str, client: str, address: str | None) -> None:
    """The default is no address; a network does not identify a person; an invalid address is omitted."""
    spans = Spans(application(), OBS_TRACING_CLIENT_ADDRESS=policy)
    spans.get(client=(client, 1234))
    assert spans.attributes().get("client.address") == address


def test_the_old_names_come_with_the_new_ones() -> None:
    """Old dashboards keep working with the switch that the conventions define."""
    spans = Spans(application(), OTEL_SEMCONV_STABILITY_OPT_IN="http/dup")
    spans.get()
    attributes = spans.attributes()
    assert attributes["http.status_code"] == attributes["http.response.status_code"] == 200
    assert attributes["http.method"] == attributes["http.request.method"] == "GET"
    assert attributes["http.target"] == attributes["url.path"] == "/hello/{name}"
    assert attributes["http.scheme"] == "http"
    assert attributes["http.flavor"] == "1.1"


def test_invented_values_of_a_client_are_not_attributes() -> None:
    """This holds for an unmatched path, an unknown method, a scheme and a version."""
    spans = Spans(application())
    spans.get("/secret/42?token=x", method="BREW", scheme="gopher", http_version="9.9")
    (span,) = spans.exported.spans
    assert span.name == "HTTP __unmatched__"
    attributes = spans.attributes()
    assert attributes["http.request.method"] == "_OTHER"
    assert attributes["http.route"] == "__unmatched__"
    assert not {"url.path", "url.scheme", "network.protocol.version"} & attributes.keys()


@pytest.mark.parametrize(("status", "failed"), [(200, False), (404, False), (499, False), (500, True), (503, True)])
def test_the_status_follows_the_conventions(status: int, failed: bool) -> None:
    """HTTP semantic conventions, "Status": on the server side a 4xx is the client's error and leaves it unset."""

    async def answer(request: Request) -> Response:
        return PlainTextResponse("", status)

    spans = Spans(Starlette(routes=[Route("/", answer)]))
    spans.get("/")
    (span,) = spans.exported.spans
    assert span.status.status_code is (trace.StatusCode.ERROR if failed else trace.StatusCode.UNSET)
    assert span.status.description is None
    assert spans.attributes().get("error.type") == (str(status) if failed else None)


def test_a_websocket_is_one_span() -> None:
    """It has the close code and the numbers of messages; single messages have no spans."""
    scenario = next(scenario for scenario in SCENARIOS if scenario.name == "websocket")
    spans = Spans(scenario.app)
    anyio.run(converse, spans.stack, scenario.scope(), scenario.incoming)
    spans.observed.obs.flush()
    attributes = spans.attributes()
    assert attributes["websocket.messages_received"] == 1
    assert attributes["websocket.messages_sent"] == 1
    assert attributes["websocket.close_code"] == 1001
    assert attributes["http.response.status_code"] == 101
    assert attributes["url.scheme"] == "ws"


def test_a_streamed_response_is_one_span() -> None:
    """`send` and `receive` have no spans."""
    scenario = next(scenario for scenario in SCENARIOS if scenario.name == "streamed")
    spans = Spans(scenario.app)
    spans.get("/")
    assert len(spans.exported.spans) == 1


def test_the_response_has_the_configured_trace_headers() -> None:
    """traceparent, traceresponse, and Server-Timing, which keeps the entries of the application."""

    async def timed(request: Request) -> Response:
        return PlainTextResponse("", headers={"server-timing": "db;dur=53"})

    spans = Spans(
        Starlette(routes=[Route("/", timed)]),
        OBS_TRACING_RESPONSE_HEADERS="traceparent,traceresponse,server-timing",
    )
    answer = spans.get("/")
    (value,) = answer.header(b"traceparent")
    assert answer.header(b"traceresponse") == [value]
    assert answer.header(b"server-timing") == [b"db;dur=53", b'traceparent;desc="' + value + b'"']


def test_without_configured_trace_headers_the_response_has_none() -> None:
    """Public services may want to hide their trace ids."""
    answer = Spans(application(), OBS_TRACING_RESPONSE_HEADERS="").get()
    assert not answer.header(b"traceparent") + answer.header(b"traceresponse") + answer.header(b"server-timing")


def test_background_work_is_not_in_the_span() -> None:
    """The span ends with the response; later work does not count as latency."""
    ended: list[bool] = []

    async def answer(request: Request) -> Response:
        span = trace.get_current_span()
        return PlainTextResponse("a", background=BackgroundTask(lambda: ended.append(not span.is_recording())))

    spans = Spans(Starlette(routes=[Route("/", answer)]))
    spans.get("/")
    assert ended == [True]


class Slow(obs.RecordMiddleware):
    """Makes each request take two seconds by the clock of the record."""

    component = "slow"

    def observe(self, scope: Scope, record: obs.RequestRecord) -> None:
        record._clock = lambda clock=record._clock: clock() + 2.0  # type: ignore[misc]


KEEPING = {"OBS_TRACING_KEEP_ERRORS": "true", "OTEL_TRACES_SAMPLER_ARG": "0"}


def test_the_span_of_an_unsampled_failed_request_is_kept() -> None:
    """It is marked, and has the ids of the log line and the response, and the caller's parent."""
    spans = Spans(application(), **KEEPING)
    spans.get("/fail", (b"traceparent", f"00-{TRACE}-{SPAN}-00".encode()))
    spans.get()
    (span,) = spans.exported.spans
    failed, _ = spans.observed.lines()
    assert span.name == "GET /fail"
    assert spans.attributes()["divan.kept"] == "error"
    assert spans.attributes()["error.type"] == "LookupError"
    assert spans.attributes()["url.scheme"] == "http"
    assert span.context is not None
    assert span.parent is not None
    assert f"{span.context.trace_id:032x}" == failed["trace_id"] == TRACE
    assert f"{span.parent.span_id:016x}" == SPAN


def test_the_span_of_an_unsampled_slow_request_is_kept() -> None:
    """The limit is OBS_TRACING_KEEP_SLOW_S."""
    exported = Exported()
    observed = Observed({"OBS_TRACING_ENABLED": "true", **KEEPING}, span_exporter=exported)
    stack = obs.build_stack(application(), observed.obs, [middlewares.TracingMiddleware, Slow])
    anyio.run(converse, stack, http_scope("/hello/ada"))
    observed.obs.flush()
    (span,) = exported.spans
    assert (span.attributes or {})["divan.kept"] == "slow"


def test_a_sampled_span_is_not_marked() -> None:
    """It represents other requests as well."""
    spans = Spans(application(), OBS_TRACING_KEEP_ERRORS="true")
    spans.get("/fail")
    assert "divan.kept" not in spans.attributes()


def test_the_number_of_kept_spans_is_limited() -> None:
    """A service whose requests all fail does not flood its collector; each second has its own budget."""
    now = [7.0]
    keep = TailSampler(1.0, 2, clock=lambda: now[0])
    record = RequestRecord(http_scope(), *_NO_SERVER)
    record.outcome = "error"
    assert [keep.reason(record) for _ in range(4)] == ["error", "error", None, None]
    now[0] += 1
    assert keep.reason(record) == "error"
    record.outcome = "ok"
    assert keep.reason(record) is None
    record.duration_s = 1.0
    assert keep.reason(record) == "slow"
    record.kind = "websocket"
    assert keep.reason(record) is None


async def _send(message: Message) -> None:
    raise AssertionError("nobody answers")


_NO_SERVER = (RouteTemplates(None), InternalErrors(count=lambda component: None))


def test_spans_have_the_resource_of_the_service(otlp_receiver: OtlpReceiver) -> None:
    """The resource has the service, version, environment and commit."""
    mine = observed(otlp_receiver, OBS_SERVICE_VERSION="1.4.2")
    get(obs.build_stack(application(), mine.obs), "/hello/ada")
    mine.obs.flush()
    otlp_receiver.wait_for(1)
    (resource,) = otlp_receiver.resource_spans()
    described = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
    assert described["service.version"] == "1.4.2"


def test_the_endpoint_for_traces_overrides_the_general_one(otlp_receiver: OtlpReceiver) -> None:
    """This is the rule of OpenTelemetry for its variables."""
    mine = Observed(
        {
            "OBS_TRACING_ENABLED": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "grpc://127.0.0.1:1",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": otlp_receiver.endpoint,
        }
    )
    get(obs.build_stack(application(), mine.obs), "/hello/ada")
    mine.obs.flush()
    assert len(otlp_receiver.wait_for(1)) == 1
