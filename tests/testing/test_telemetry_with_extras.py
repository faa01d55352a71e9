"""The fixture `telemetry`, where there are spans and Socket.IO events."""

# python-socketio is not annotated.
# mypy: allow-untyped-calls

from __future__ import annotations

import logging

import anyio
import pytest
import socketio
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import divan_obs_asgi as obs
from divan_obs_asgi.socketio_ext import ObservedAsyncServer
from divan_obs_asgi.testing import Telemetry, converse, http_scope
from tests.patience import PATIENCE_S
from tests.servers.asgi import serve

logger = logging.getLogger("tests.chat")


async def order(request: Request) -> PlainTextResponse:
    with trace.get_tracer("tests.shop").start_as_current_span("pay") as span:
        span.set_attribute("card.token", "hunter2-of-ada")
    return PlainTextResponse()


def shop(name: str = "shop", **arguments: object) -> Starlette:
    app = Starlette(routes=[Route("/orders/{id}", order)])
    environ = {"OBS_SERVICE_NAME": name, "OBS_TRACING_ENABLED": "true", "OBS_TRACING_CLIENTS": "", "LOG_LEVEL": "ERROR"}
    obs.init(app, obs.Observability.from_env(environ, **arguments))  # type: ignore[arg-type]
    return app


def test_spans_are_those_that_are_exported(telemetry: Telemetry) -> None:
    """Redacted, though no endpoint is set."""
    anyio.run(converse, shop(), http_scope("/orders/7"))
    span = telemetry.spans.one(route="/orders/{id}", outcome="ok")
    assert (span.name, span.kind, span.attributes["http.response.status_code"]) == ("GET /orders/{id}", "server", 200)
    own = telemetry.spans.one(name="pay")
    assert (own.parent_id, own.trace_id) == (span.span_id, telemetry.requests.one().trace_id)
    assert str(own.attributes["card.token"]).startswith("[redacted:")
    telemetry.assert_no_secret("hunter2-of-ada")


def test_a_span_belongs_to_the_request_in_which_it_has_ended(telemetry: Telemetry) -> None:
    """The global tracer makes spans of the application that was wrapped last, whoever asks it."""
    first, second = shop("first"), shop("second")
    anyio.run(converse, first, http_scope("/orders/7"))
    assert telemetry.of(first).spans.values("name") == ["pay", "GET /orders/{id}"]
    assert telemetry.of(second).spans == []


def test_a_provider_of_the_applications_own_exports_what_it_likes(telemetry: Telemetry) -> None:
    """Nothing redacts its spans; two applications may share it, and each span is there once."""
    provider = TracerProvider()
    first, second = (shop(name, tracer_provider=provider) for name in ("first", "second"))
    anyio.run(converse, first, http_scope("/orders/7"))
    anyio.run(converse, second, http_scope("/orders/8"))
    with provider.get_tracer("tests").start_as_current_span("alone") as span:
        span.set_attribute("card.token", "hunter2-of-ada")
    assert telemetry.of(second).spans.find(kind="server").values("name") == ["GET /orders/{id}"]
    assert len(telemetry.spans.find(kind="server")) == 2
    assert len(telemetry.spans.find(name="alone")) == 1
    with pytest.raises(AssertionError, match=r"secret 1 \(hu\.\.\., 14 characters\) in span \d of \d \(alone\)"):
        telemetry.assert_no_secret("hunter2-of-ada")
    provider.shutdown()


def test_what_is_not_sampled_is_no_span(telemetry: Telemetry) -> None:
    """The request is there all the same."""
    app = Starlette(routes=[Route("/orders/{id}", order)])
    environ = {
        "OTEL_TRACES_SAMPLER": "always_off",
        "OBS_TRACING_ENABLED": "true",
        "OBS_TRACING_CLIENTS": "",
        "LOG_LEVEL": "ERROR",
    }
    obs.init(app, obs.Observability.from_env(environ))
    anyio.run(converse, app, http_scope("/orders/7"))
    assert telemetry.of(app).requests.one().sampled is False
    assert telemetry.of(app).spans == []


def chat() -> tuple[ObservedAsyncServer, obs.types.ASGIApp]:
    server = ObservedAsyncServer(async_mode="asgi")

    async def say(sid: str, text: str) -> str:
        logger.info("said something")
        return text.upper()

    async def breaks(sid: str) -> None:
        raise LookupError("on purpose")

    server.on("say", say)
    server.on("breaks", breaks)
    bundle = obs.Observability.from_env(
        {"OBS_SERVICE_NAME": "chat", "OBS_TRACING_ENABLED": "true", "OBS_TRACING_CLIENTS": ""}
    )
    return server, obs.wrap(socketio.ASGIApp(server), bundle)


@pytest.mark.slow
def test_events_of_a_served_application(telemetry: Telemetry) -> None:
    """python-socketio's own client: connect, an event that is acknowledged, one that fails, disconnect."""
    server, app = chat()

    async def talk(url: str) -> None:
        client = socketio.AsyncClient()
        await client.connect(url, transports=["websocket"], wait_timeout=PATIENCE_S)
        assert await client.call("say", "hello", timeout=PATIENCE_S) == "HELLO"
        await client.emit("breaks")
        await telemetry.eventually(lambda now: now.events.find(event="breaks"))
        await client.disconnect()

    with serve(app) as serving:
        anyio.run(talk, serving.url)
        telemetry.wait_for(lambda now: now.requests.find(kind="websocket"))
    event = telemetry.events.one(event="say")
    assert (event.namespace, event.outcome, event.payload_shape) == ("/", "ok", ("string:5",))
    assert telemetry.events.one(event="breaks", outcome="error").error == "LookupError"
    assert telemetry.spans.one(name="process / say").trace_id == event.trace_id
    assert telemetry.lines.one(logger="tests.chat")["request_id"] == event.request_id
    assert telemetry.metrics.value("divan_socketio_events_total", event="say") == 1
    assert telemetry.of(server).events == telemetry.of(app).events == telemetry.events
    telemetry.assert_no_secret("hello")
