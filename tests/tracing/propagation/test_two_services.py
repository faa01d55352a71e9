"""Two services with the same OTEL_PROPAGATORS make one trace, whatever the format is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest
import redis
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.ops.service import Service, served
from tests.patience import PATIENCE_S
from tests.servers.otlp import OtlpReceiver
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.slow

FORMATS = {
    "b3": {"b3"},
    "b3multi": {"x-b3-traceid", "x-b3-spanid", "x-b3-sampled"},
    "jaeger": {"uber-trace-id"},
    "xray": {"x-amzn-trace-id"},
    "tracecontext,baggage": {"traceparent"},
    "tracecontext,b3": {"traceparent", "b3"},
}
HEADERS = set().union(*FORMATS.values())
SHOP = """
import os
import httpx
import divan_obs_asgi as obs
import socketio
from divan_obs_asgi.socketio_ext import ObservedAsyncServer
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import JSONResponse
from starlette.routing import Route

observability = obs.Observability.from_env()
sockets = ObservedAsyncServer(
    async_mode="asgi",
    obs=observability,
    client_manager=socketio.AsyncRedisManager(os.environ["SOCKETIO_REDIS_URL"]),
)

async def heard(request):
    return JSONResponse({name: value for name, value in request.headers.items()})

async def listen(request):
    sockets.manager_initialized or sockets.manager.initialize()
    sockets.manager_initialized = True
    return JSONResponse({})

async def call(url):
    async with httpx.AsyncClient() as client:
        return (await client.get(url)).json()

async def calling(request):
    return JSONResponse(await call(request.query_params["url"]))

async def later(request):
    job = obs.background(call, request.query_params["url"])
    return JSONResponse({}, background=BackgroundTask(job))

async def emitting(request):
    await sockets.emit("news", {}, namespace="/")
    return JSONResponse({})

routes = [Route("/" + each.__name__, each) for each in (heard, listen, calling, later, emitting)]
app = Starlette(routes=routes)
obs.init(app, observability)
"""


class Two:
    """Two services, and what they have exported."""

    def __init__(self, stack: ExitStack, receiver: OtlpReceiver, redis_url: str, propagators: str) -> None:
        self.receiver, self.redis_url = receiver, redis_url
        flags = {
            "OBS_TRACING_ENABLED": "true",
            "OBS_SOCKETIO_EMIT_SPANS": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "OTEL_PROPAGATORS": propagators,
            "SOCKETIO_REDIS_URL": redis_url,
        }
        self.one, self.two = (
            stack.enter_context(served(SHOP, {**flags, "OTEL_SERVICE_NAME": name})) for name in ("one", "two")
        )

    @property
    def heard_url(self) -> str:
        return str(self.two.client.base_url.join("/heard"))

    def span(self, service: str, name: str) -> Span:
        """Wait for a span of a service."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            for part in self.receiver.resource_spans():
                names = {pair.key: pair.value.string_value for pair in part.resource.attributes}
                for scope in part.scope_spans:
                    for span in scope.spans:
                        if (names["service.name"], span.name) == (service, name):
                            return span
            time.sleep(0.05)
        raise TimeoutError(f"{service}: {name}; arrived: {[span.name for span in self.receiver.spans()]}")

    def wait_until_listening(self) -> None:
        until = time.monotonic() + PATIENCE_S
        with redis.Redis.from_url(self.redis_url) as asking:
            while not dict(asking.pubsub_numsub("socketio"))[b"socketio"]:
                assert time.monotonic() < until
                time.sleep(0.05)


@pytest.fixture(params=FORMATS)
def propagators(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def two(otlp_receiver: OtlpReceiver, redis_server: RedisServer, propagators: str) -> Iterator[Two]:
    with ExitStack() as stack:
        yield Two(stack, otlp_receiver, redis_server.url, propagators)


def get(service: Service, path: str, **query: str) -> httpx.Response:
    response = service.client.get(path, params=query)
    response.raise_for_status()
    return response


def test_two_services_make_one_trace(two: Two, propagators: str) -> None:
    """Over HTTP, from a background job, and over Redis; the call has the headers of the formats and no others."""
    response = get(two.one, "/calling", url=two.heard_url)
    assert response.json().keys() & HEADERS == FORMATS[propagators]
    caller, called = two.span("one", "GET /calling"), two.span("two", "GET /heard")
    assert called.trace_id == caller.trace_id
    # As the flag for response headers says, not the propagators.
    assert response.headers["traceparent"].split("-")[1] == caller.trace_id.hex()

    two.receiver._resource_spans.clear()
    get(two.one, "/later", url=two.heard_url)
    request, job, called = (
        two.span("one", "GET /later"),
        two.span("one", "background call"),
        two.span("two", "GET /heard"),
    )
    assert [link.trace_id for link in job.links] == [request.trace_id]
    assert called.trace_id == job.trace_id

    get(two.two, "/listen")
    two.wait_until_listening()
    get(two.one, "/emitting")
    assert two.span("two", "socketio deliver").trace_id == two.span("one", "socketio emit").trace_id
    assert two.span("one", "socketio emit").trace_id == two.span("one", "GET /emitting").trace_id
