"""A client that leaves before the end of its response, under the real commands."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress

import daphne  # noqa: F401
import granian  # noqa: F401
import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.patience import PATIENCE_S
from tests.servers.command import Command, until
from tests.servers.otlp import OtlpReceiver, attributes

pytestmark = pytest.mark.slow

APP = """
import anyio
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
import divan_obs_asgi as obs

going_on = set()

async def slow(request):
    # It never asks whether the client is there, and goes on for a while after that one has left.
    path = request.url.path
    print("waiting", path, flush=True)
    try:
        while not request.scope["divan_obs_asgi.record"].disconnected:
            await anyio.sleep(0.01)
        print("noticed", path, flush=True)
        while path not in going_on:
            await anyio.sleep(0.01)
    except anyio.get_cancelled_exc_class():
        print("cancelled", path, flush=True)
        raise
    return PlainTextResponse("done")

async def read_first(request):
    await request.body()
    return await slow(request)

async def read_late(request):
    # In the meantime the library waits for what comes.
    await anyio.sleep(0.5)
    body = await request.body()
    await anyio.sleep(0.5)
    return PlainTextResponse(body + str(await request.is_disconnected()).encode())

async def stream(request):
    async def send_all(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await slow(request)
        await send({"type": "http.response.body", "body": b"last", "more_body": True})
        await send({"type": "http.response.body"})
    return send_all

async def go_on(request):
    going_on.add(request.query_params["path"])
    return PlainTextResponse("go on")

app = Starlette(routes=[
    Route("/slow/{id}", slow), Route("/read", read_first, methods=["POST"]), Route("/stream", stream),
    Route("/late", read_late, methods=["GET", "POST", "PUT"]), Route("/go_on", go_on),
])
obs.init(app)
"""
BROKEN = """
from fastapi import FastAPI
from starlette.responses import StreamingResponse
import divan_obs_asgi as obs

app = FastAPI()

@app.middleware("http")
async def passing(request, call_next):
    return await call_next(request)

@app.get("/broken")
async def broken():
    async def parts():
        yield b"first"
        raise LookupError("in the middle")
    return StreamingResponse(parts())

obs.init(app)
"""
FLAGS = {"OBS_ENV": "dev", "OBS_METRICS_PUBLIC": "true", "LOG_SAMPLING_RATE_INFO": "1"}
SERVERS = {
    "uvicorn": ("uvicorn",),
    "uvicorn h11": ("uvicorn", "--http", "h11", "--loop", "asyncio"),
    "hypercorn": ("hypercorn",),
    "hypercorn trio": ("hypercorn", "-k", "trio"),
    "granian": ("granian",),
    # It ends the application of a client that has left, after 10 s where nothing is said.
    "daphne": ("daphne", "--application-close-timeout", "60"),
}
EACH = pytest.mark.parametrize("server", SERVERS)


@contextmanager
def started(code: str, server: str, **env: str) -> Iterator[Command]:
    """Serve an application, and be sure that it answers."""
    name, *options = SERVERS[server]
    with closing(Command(code, name, "app", *options, env={**FLAGS, **env})) as command:
        command.start()
        until(lambda: answers(command), command)
        yield command


@pytest.fixture
def serve() -> Iterator[Callable[..., Command]]:
    with ExitStack() as commands:
        yield lambda code, server, **env: commands.enter_context(started(code, server, **env))


@pytest.fixture(scope="module", params=SERVERS)
def traced(request: pytest.FixtureRequest) -> Iterator[tuple[Command, OtlpReceiver]]:
    """One service of each server for the tests that each have routes or methods of their own."""
    with OtlpReceiver() as receiver:
        endpoint = {"OBS_TRACING_ENABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint}
        with started(APP, request.param, **endpoint) as command:
            yield command, receiver


def answers(command: Command) -> bool:
    # granian's master says that it listens before a worker does.
    with suppress(httpx.TransportError):
        return httpx.get(f"{command.url}/health/live", timeout=PATIENCE_S).status_code == 200
    return False


def leave(command: Command, method: str, path: str, body: bytes | None = None) -> None:
    """Ask, and leave when the application waits."""
    connection = http.client.HTTPConnection(command.host, command.port, timeout=PATIENCE_S)
    connection.request(method, path, body)
    until(lambda: f"waiting {path}" in command.log, command)
    connection.close()


def go_on(command: Command, path: str) -> None:
    """Have the application answer a client that has left."""
    until(lambda: f"noticed {path}" in command.log, command)
    httpx.get(f"{command.url}/go_on", params={"path": path}, timeout=PATIENCE_S)


def series(command: Command, name: str, *labels: str) -> float:
    page = httpx.get(f"{command.url}/metrics", timeout=PATIENCE_S).text
    found = [line for line in page.splitlines() if line.startswith(f"{name}{{")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in found if all(label in line for label in labels))


def span_of(receiver: OtlpReceiver, name: str) -> Span:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = [span for span in receiver.spans() if span.name == name]
        if found:
            (span,) = found
            return span
        assert time.monotonic() < deadline, [span.name for span in receiver.spans()]
        time.sleep(0.02)


def test_a_client_that_has_left_is_no_success(traced: tuple[Command, OtlpReceiver]) -> None:
    """Although the application answers it: line, metrics and span say that it left, and how long it has waited."""
    command, receiver = traced
    for method, path, route, status in (
        ("GET", "/slow/1", "/slow/{id}", 0),
        ("POST", "/read", "/read", 0),
        ("GET", "/stream", "/stream", 200),
    ):
        started = time.monotonic()
        leave(command, method, path, b"body" if method == "POST" else None)
        until(lambda path=path: f"noticed {path}" in command.log, command)  # type: ignore[misc]
        noticed_s = time.monotonic() - started
        go_on(command, path)
        line = command.line(f"{method} {route}")
        assert (line["outcome"], line["status"], line["level"]) == ("client_disconnect", status, "INFO")
        # Until it had left, and not until the application answered.
        assert line["latency_ms"] <= noticed_s * 1000
        label = f'route="{route}"'
        assert series(command, "divan_http_outcomes_total", label, 'outcome="client_disconnect"') == 1
        assert series(command, "divan_http_outcomes_total", label, 'outcome="ok"') == 0
        span = span_of(receiver, f"{method} {route}")
        assert attributes(span)["divan.outcome"] == "client_disconnect"
        assert span.status.code == Status.STATUS_CODE_UNSET


@EACH
def test_by_flag_the_application_is_cancelled(serve: Callable[..., Command], server: str) -> None:
    """As services wish whose answers are dear to make; the flag names the routes."""
    command = serve(APP, server, OBS_CANCEL_ON_DISCONNECT="/other,/slow/{id}")
    leave(command, "POST", "/read", b"body")
    leave(command, "GET", "/slow/1")
    until(lambda: "cancelled /slow/1" in command.log, command)
    line = command.line("GET /slow/{id}")
    assert (line["outcome"], line["status"]) == ("client_disconnect", 0)
    go_on(command, "/read")
    command.line("POST /read")
    assert "cancelled /read" not in command.log
    assert not [line for line in command.lines() if line["level"] == "ERROR"]


def test_by_flag_every_application_is_cancelled(serve: Callable[..., Command]) -> None:
    """`true` names all routes."""
    command = serve(APP, "uvicorn", OBS_CANCEL_ON_DISCONNECT="true")
    leave(command, "POST", "/read", b"body")
    until(lambda: "cancelled /read" in command.log, command)


def test_an_application_receives_what_is_its_own(traced: tuple[Command, OtlpReceiver]) -> None:
    """Whenever it asks: nothing that comes is lost, and a client that is there has not left."""
    command, _ = traced
    for method, body in (("GET", ""), ("POST", "body"), ("PUT", "body" * 100_000)):
        response = httpx.request(method, f"{command.url}/late", content=body or None, timeout=PATIENCE_S)
        assert response.text == f"{body}False"
        assert command.line(f"{method} /late")["outcome"] == "ok"


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn"])
def test_a_stream_that_breaks_behind_a_middleware_is_an_error(serve: Callable[..., Command], server: str) -> None:
    """FastAPI's `@app.middleware("http")` ends its body in order, and raises afterwards."""
    with OtlpReceiver() as receiver:
        command = serve(BROKEN, server, OBS_TRACING_ENABLED="true", OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        with suppress(httpx.RemoteProtocolError):
            httpx.get(f"{command.url}/broken", timeout=PATIENCE_S)
        line = command.line("GET /broken")
        assert (line["outcome"], line["level"], line["status"]) == ("error_after_start", "ERROR", 200)
        label = 'route="/broken"'
        assert series(command, "divan_http_outcomes_total", label, 'outcome="error_after_start"') == 1
        assert series(command, "divan_http_outcomes_total", label, 'outcome="ok"') == 0
        assert series(command, "divan_http_exceptions_total", label, 'type="LookupError"') == 1
        span = span_of(receiver, "GET /broken")
        assert span.status.code == Status.STATUS_CODE_ERROR
        assert attributes(span)["error.type"] == "LookupError"
