"""OpenTelemetry's current span is a context variable too, and stays with its request."""

from __future__ import annotations

import http.client
import socket

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

import divan_obs_asgi as obs
from divan_obs_asgi.types import ASGIApp, Receive, Scope, Send
from tests.patience import PATIENCE_S
from tests.servers.asgi import serve
from tests.stacks import Observed
from tests.tracing.exported import Exported

LARGE = b"x" * 200_000


def spans_found(app: ASGIApp) -> None:
    """Send three requests on one connection, one of them large, two of them at once."""
    with serve(app, lifespan="off", http="httptools", loop="asyncio") as serving:
        connection = http.client.HTTPConnection(serving.host, serving.port, timeout=PATIENCE_S)
        connection.request("POST", "/", body=LARGE)
        connection.getresponse().read()
        assert isinstance(connection.sock, socket.socket)
        connection.sock.sendall(
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )
        while connection.sock.recv(65_536):
            pass
        connection.close()


class Works:
    """An application that does its work in a span of its own, as instrumented ones do."""

    def __init__(self) -> None:
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.found: list[bool] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.found.append(trace.get_current_span().get_span_context().is_valid)
        with self.provider.get_tracer("tests").start_as_current_span("work"):
            while (await receive()).get("more_body"):
                pass
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body"})


def test_without_the_stack_a_finished_span_is_current() -> None:
    """Why it matters: the spans of the next request would become children of the one before."""
    app = Works()
    spans_found(app)
    assert app.found == [False, True, True]


def test_with_the_stack_no_span_is_current_at_the_start() -> None:
    """Tracing may be off: the application's own spans are kept apart all the same."""
    app = Works()
    spans_found(obs.build_stack(app, Observed().obs))
    assert app.found == [False, False, False]


@pytest.mark.parametrize("context", ["true", "false"])
def test_every_request_starts_a_trace_of_its_own(context: str) -> None:
    """The server spans of one connection have no parent and no trace in common, with or without the isolation."""
    exported = Exported()
    observed = Observed({"OBS_TRACING_ENABLED": "true", "OBS_CONTEXT_ENABLED": context}, span_exporter=exported)
    app = Works()

    spans_found(obs.build_stack(app, observed.obs))
    observed.obs.flush()

    spans = [span for span in exported.spans if span.kind is trace.SpanKind.SERVER]
    assert [span.parent for span in spans] == [None] * 3
    assert len({span.context.trace_id for span in spans if span.context is not None}) == 3
