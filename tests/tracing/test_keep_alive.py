"""The traces of the requests on one keep-alive connection of uvicorn never mix."""

from __future__ import annotations

import http.client
import socket
from collections import Counter

import pytest
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware as ContribMiddleware
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind, get_tracer

import divan_obs_asgi as obs
from divan_obs_asgi.types import ASGIApp, Receive, Scope, Send
from tests.patience import PATIENCE_S
from tests.servers.asgi import serve
from tests.stacks import Observed
from tests.tracing.exported import Exported

LARGE = b"x" * 200_000
# The trace that each request says it belongs to.
TRACES = [f"{number:032x}" for number in range(1, 6)]


def parent_header(trace_id: str) -> str:
    return f"00-{trace_id}-00f067aa0ba902b7-01"


def converse_on_one_connection(app: ASGIApp) -> None:
    """Send a large request, then four at once, so that the server reads a request before the previous response."""
    with serve(app, lifespan="off") as serving:
        connection = http.client.HTTPConnection(serving.host, serving.port, timeout=PATIENCE_S)
        connection.request("POST", "/", body=LARGE, headers={"traceparent": parent_header(TRACES[0])})
        connection.getresponse().read()
        assert isinstance(connection.sock, socket.socket)
        requests = [
            f"GET / HTTP/1.1\r\nHost: a\r\ntraceparent: {parent_header(trace_id)}\r\n"
            f"{'Connection: close' if trace_id == TRACES[-1] else 'X: y'}\r\n\r\n"
            for trace_id in TRACES[1:]
        ]
        connection.sock.sendall("".join(requests).encode())
        while connection.sock.recv(65_536):
            pass
        connection.close()


class Works:
    """An application with its own span for each request, which records the id of the request."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = get_tracer("work", tracer_provider=provider)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked_for = dict(scope["headers"])[b"traceparent"].decode()[3:35]
        with self._tracer.start_as_current_span("work", attributes={"asked_for": asked_for}):
            while (await receive()).get("more_body"):
                pass
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body"})


def trace_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


def mixed(exported: Exported) -> int:
    """Return the number of requests whose work is in the wrong trace."""
    work = [span for span in exported.spans if span.name == "work"]
    assert len(work) == len(TRACES)
    return sum(trace_of(span) != (span.attributes or {})["asked_for"] for span in work)


def test_upstreams_middleware_mixes_traces() -> None:
    """With upstream's middleware a request joins the trace of the previous one, and its own traceparent is lost."""
    exported = Exported()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exported))
    converse_on_one_connection(ContribMiddleware(Works(provider), tracer_provider=provider))
    assert mixed(exported) > 0
    assert any(span.kind is SpanKind.INTERNAL for span in exported.spans if span.name == "GET /")


@pytest.mark.parametrize("native", ["suppress", "nest", "defer"])
@pytest.mark.parametrize("context", ["true", "false"])
def test_our_middleware_keeps_traces_apart(context: str, native: str) -> None:
    """Every request continues the trace of its own caller, with and without isolated contexts."""
    exported = Exported()
    observed = Observed(
        {"OBS_TRACING_ENABLED": "true", "OBS_CONTEXT_ENABLED": context, "OBS_TRACING_NATIVE": native},
        span_exporter=exported,
    )
    assert observed.obs.spans is not None
    provider = observed.obs.spans.provider
    assert isinstance(provider, TracerProvider)
    converse_on_one_connection(obs.build_stack(Works(provider), observed.obs))
    observed.obs.flush()

    assert mixed(exported) == 0
    servers = [span for span in exported.spans if span.kind is SpanKind.SERVER]
    assert Counter(map(trace_of, servers)) == Counter(TRACES)
    assert all(span.parent is not None and span.parent.is_remote for span in servers)
    assert [line["trace_id"] for line in observed.lines()] == TRACES


def test_our_stack_keeps_traces_of_upstreams_middleware_apart() -> None:
    """With our stack around upstream's middleware, which leaks, each request has its own trace."""
    exported = Exported()
    observed = Observed({"OBS_TRACING_ENABLED": "true", "OBS_TRACING_NATIVE": "defer"}, span_exporter=exported)
    assert observed.obs.spans is not None
    provider = observed.obs.spans.provider
    assert isinstance(provider, TracerProvider)
    inner = ContribMiddleware(Works(provider), tracer_provider=provider, exclude_spans=["send", "receive"])
    converse_on_one_connection(obs.build_stack(inner, observed.obs))
    observed.obs.flush()
    assert mixed(exported) == 0
    assert [line["trace_id"] for line in observed.lines()] == TRACES
