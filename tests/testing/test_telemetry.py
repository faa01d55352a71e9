"""The fixture `telemetry`: what one test has caused, whichever way the application is called."""

from __future__ import annotations

import logging
import re
import threading
import warnings
from collections.abc import AsyncIterator

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

import divan_obs_asgi as obs
from divan_obs_asgi.testing import Telemetry, converse, http_scope
from divan_obs_asgi.types import ASGIApp, Receive, Scope, Send
from tests.logs.root_logger import root_logger_kept
from tests.servers.asgi import serve
from tests.stacks import Observed

with warnings.catch_warnings():
    # From 1.10 on Starlette asks for a newer httpx.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

logger = logging.getLogger("tests.shop")
pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def user(request: Request) -> PlainTextResponse:
    obs.Observability.logger(request.app.state.divan_obs_asgi, "tests.shop").warning("looking %s up", "somebody")
    return PlainTextResponse("hello")


async def broken(request: Request) -> PlainTextResponse:
    raise LookupError("on purpose")


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("hi")
    await websocket.close()


def shop(**flags: str) -> Starlette:
    app = Starlette(routes=[Route("/users/{id}", user), Route("/broken", broken), WebSocketRoute("/ws", socket)])
    environ = {"OBS_SERVICE_NAME": "shop", "OBS_TRACING_ENABLED": "false", **flags}
    obs.init(app, obs.Observability.from_env(environ))
    return app


# As most applications are: made when the module is imported, long before any fixture. The handlers of the root logger
# are put back, because that logger belongs to all tests.
with root_logger_kept():
    application = shop(OBS_SERVICE_NAME="of-the-module")


@pytest.mark.slow
def test_a_request_by_the_test_client(telemetry: Telemetry) -> None:
    """The application runs in a thread; request, lines and metrics are there when the client has its response."""
    assert TestClient(application).get("/users/7").text == "hello"
    request = telemetry.requests.one(route="/users/{id}", outcome="ok")
    assert (request.method, request.status, request.service) == ("GET", 200, "of-the-module")
    assert telemetry.metrics.value("divan_http_requests_total", route="/users/{id}") == 1
    assert telemetry.metrics.value("divan_http_requests_total", route="/broken") == 0
    assert telemetry.lines.find(logger="divan_obs_asgi.access").values("route", "status") == [("/users/{id}", 200)]


def test_what_an_earlier_test_has_caused_is_not_this_ones(telemetry: Telemetry) -> None:
    """Of the same application, too."""
    ours = telemetry.of(application)
    assert ours.requests == []
    assert ours.lines == []
    assert ours.metrics.value("divan_http_requests_total") == 0


async def test_a_request_within_the_event_loop_of_the_test(telemetry: Telemetry) -> None:
    """httpx's ASGITransport calls the application in the test's own task."""
    app = shop()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
        await client.get("/users/7")
        await client.get("/nowhere")
    assert telemetry.requests.values("route", "status") == [("/users/{id}", 200), ("__unmatched__", 404)]
    (line,) = telemetry.lines.find(logger="tests.shop")
    assert line["msg"] == "looking somebody up"
    assert line["request_id"] == telemetry.requests[0].request_id


def test_a_served_application(telemetry: Telemetry) -> None:
    """The server's thread calls the finishers after the client has its response: that is waited for."""
    app = shop()
    with serve(app) as serving, httpx.Client(base_url=serving.url) as client:
        for number in range(1, 21):
            client.get("/users/7")
            assert len(telemetry.requests) == number
        client.get("/health/live")
        assert len(telemetry.requests) == 20


def test_a_websocket(telemetry: Telemetry) -> None:
    """It is a request with its close code."""
    with TestClient(shop()).websocket_connect("/ws") as connection:
        assert connection.receive_text() == "hi"
    assert telemetry.requests.values("route", "status", "close_code") == [("/ws", 101, 1000)]


def test_a_failure_is_told_by_its_class(telemetry: Telemetry) -> None:
    """The exception itself would keep all its frames."""
    assert TestClient(shop(), raise_server_exceptions=False).get("/broken").status_code == 500
    assert telemetry.requests.one(outcome="error").error == "LookupError"
    assert telemetry.lines.one(level="ERROR")["route"] == "/broken"


def test_several_applications_are_kept_apart(telemetry: Telemetry) -> None:
    """By the application itself, by its bundle, or by its name."""
    first, second = shop(OBS_SERVICE_NAME="first"), shop(OBS_SERVICE_NAME="second")
    TestClient(first).get("/users/7")
    TestClient(second).get("/users/8")
    TestClient(second).get("/users/9")
    assert [len(telemetry.of(which).requests) for which in ("first", first, first.state.divan_obs_asgi)] == [1, 1, 1]
    assert telemetry.of(second).metrics.value("divan_http_requests_total") == 2
    # Loggers write by the application that was made last; the line belongs to the request in which it was written.
    assert len(telemetry.of(first).lines.find(logger="tests.shop")) == 1
    assert len(telemetry.of(second).lines.find(logger="tests.shop")) == 2
    assert len(telemetry.of(second).lines.find(logger="divan_obs_asgi.access")) == 2
    assert len(telemetry.requests) == 3


def test_one_application_within_another(telemetry: Telemetry) -> None:
    """What stands around the stack is looked through."""

    async def hello(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    inner = obs.wrap(hello, obs.Observability.from_env({"OBS_TRACING_ENABLED": "false"}))

    class Around:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await self.app(scope, receive, send)

    anyio.run(converse, Around(inner), http_scope())
    assert len(telemetry.of(Around(inner)).requests) == 1


def test_an_application_that_is_not_observed(telemetry: Telemetry) -> None:
    """It says so, and does not find nothing."""
    with pytest.raises(ValueError, match="Starlette is not observed: neither init nor wrap"):
        telemetry.of(Starlette())
    with pytest.raises(ValueError, match=r"0 applications have the name 'shopp'; known names: .*of-the-module"):
        telemetry.of("shopp")


def test_what_sampling_leaves_out_is_no_line_and_still_a_request(telemetry: Telemetry) -> None:
    """Lines are what was written; requests are all."""
    app = shop(LOG_SAMPLING_RATE_INFO="0", LOG_SAMPLING_BUDGET="1")
    client = TestClient(app)
    for _ in range(20):
        client.get("/nowhere")
    assert len(telemetry.of(app).requests) == 20
    # One a second is always kept.
    assert len(telemetry.of(app).lines.find(logger="divan_obs_asgi.access")) < 20


def test_a_middleware_alone_is_listened_to(telemetry: Telemetry) -> None:
    """Whatever the stack is made of, and without any log."""
    observed = Observed({"OBS_TRACING_ENABLED": "false"})
    anyio.run(converse, obs.middlewares.MetricsMiddleware(application.router, observed.obs), http_scope("/users/7"))
    assert telemetry.of(observed.obs).requests.values("status") == [500]


@pytest.mark.slow
def test_what_comes_later_is_waited_for(telemetry: Telemetry) -> None:
    """A stream that goes on when the client has read its beginning."""
    goes_on = threading.Event()

    async def stream(request: Request) -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"a"
            await anyio.to_thread.run_sync(goes_on.wait)
            yield b"b"

        return StreamingResponse(parts())

    app = Starlette(routes=[Route("/stream", stream)])
    obs.init(app, obs.Observability.from_env({"OBS_TRACING_ENABLED": "false"}))
    with serve(app) as serving, httpx.stream("GET", f"{serving.url}/stream") as response:
        next(response.iter_raw())
        with pytest.raises(AssertionError, match="not true within 0 s"):
            telemetry.wait_for(lambda now: now._listeners[0].requests and now.requests, timeout_s=0)
        goes_on.set()
        assert telemetry.wait_for(lambda now: now.requests.find(route="/stream"))


async def test_what_comes_later_in_the_same_event_loop(telemetry: Telemetry) -> None:
    """The test lets it run meanwhile."""
    app = shop()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(converse, app, http_scope("/users/7"))
        assert await telemetry.eventually(lambda now: now.requests.find(status=200))


def test_one_names_what_there_was(telemetry: Telemetry) -> None:
    """Who looks for something else reads what was there."""
    TestClient(shop()).get("/users/7")
    with pytest.raises(AssertionError) as raised:
        telemetry.requests.one(route="/user")
    assert str(raised.value) == (
        "requests with route='/user': expected one, found 0.\nThere were 1 others:\n  <GET /users/{id} 200 ok>"
    )
    assert telemetry.requests.one(route=re.compile("/users/.*")).status == 200
    with pytest.raises(TypeError, match="Request has no 'rout'; expected one of method, route, status"):
        telemetry.requests.find(rout="/users/{id}")


def test_without_tracing_there_are_no_spans(telemetry: Telemetry) -> None:
    """The failure says why."""
    app = shop()
    TestClient(app).get("/users/7")
    with pytest.raises(AssertionError, match=r"Tracing is off in every application: install divan-obs-asgi"):
        telemetry.of(app).spans.one(route="/users/{id}")


def test_business_fields_are_redacted(telemetry: Telemetry) -> None:
    """A failure shows them."""

    async def order(request: Request) -> PlainTextResponse:
        app.state.divan_obs_asgi.log.bind(order=7, password="hunter2-of-ada")
        return PlainTextResponse()

    app = Starlette(routes=[Route("/orders", order)])
    obs.init(app, obs.Observability.from_env({"OBS_TRACING_ENABLED": "false"}))
    TestClient(app).get("/orders")
    fields = telemetry.requests.one().fields
    assert fields["order"] == 7
    assert "hunter2" not in repr(telemetry.requests)
    telemetry.assert_no_secret("hunter2-of-ada")


def test_a_secret_is_found_wherever_it_leaves(telemetry: Telemetry) -> None:
    """The failure names the sink, and two characters of the secret at most."""

    async def leaky(request: Request) -> PlainTextResponse:
        logger.warning("got it: %s", "zq%2Fx7-plain")
        app.state.divan_obs_asgi.metrics.counter("leaks_total", "Leaks.", ["what"]).labels("zq/x7-plain").inc()
        return PlainTextResponse()

    app = Starlette(routes=[Route("/leaky", leaky)])
    obs.init(app, obs.Observability.from_env({"OBS_TRACING_ENABLED": "false"}))
    TestClient(app).get("/leaky")
    telemetry.assert_no_secret("something-else")
    with pytest.raises(AssertionError) as raised:
        telemetry.assert_no_secret("zq/x7-plain")
    told = str(raised.value)
    assert "secret 1 (zq..., 11 characters) in log line 1 of 3" in told
    assert re.search(r"in new line of the metrics page \d+ of \d+ \(divan_leaks_total\)", told)
    assert "zq/x7" not in told


def test_nothing_listens_afterwards() -> None:
    """An application of the module is as it was."""
    from divan_obs_asgi.testing.telemetry import telemetry

    bundle = application.state.divan_obs_asgi
    with telemetry():
        assert bundle.observers._attached
        assert bundle.log.sink.copies
    assert bundle.observers._attached == ()
    assert bundle.log.sink.copies == ()
