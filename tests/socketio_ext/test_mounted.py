"""However the Socket.IO server and the HTTP application stand to each other: both are observed, and each as itself."""

# python-socketio is not annotated.
# mypy: allow-untyped-calls

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import socketio
from starlette.applications import Starlette

import divan_obs_asgi as obs
from tests.patience import PATIENCE_S
from tests.servers.asgi import serve
from tests.servers.otlp import attributes
from tests.socketio_ext.javascript_client import JavaScriptClients
from tests.socketio_ext.service import Service, ids_of_span
from tests.socketio_ext.sockets import server_of
from tests.stacks import Observed

WAYS = ("over", "under", "mount", "fastapi")
TRANSPORTS = (["polling"], ["websocket"], ["polling", "websocket"])


@pytest.fixture(params=WAYS)
def service(request: pytest.FixtureRequest, start: Callable[..., Service]) -> Service:
    return start(request.param, SOCKETIO_LOGGERS="all", LOG_LEVEL="DEBUG", SOCKETIO_PATIENCE_S="0.1")


@pytest.fixture
def credentials(service: Service, javascript_clients: JavaScriptClients) -> set[str]:
    """What lets its holder speak for a client, of clients that have done what clients do and are gone."""
    found = set()
    for number, transports in enumerate(TRANSPORTS):
        name = f"client-{number}"
        for namespace in ("/", "/chat"):
            javascript_clients.do("connect", name, url=service.url, namespace=namespace, transports=transports)
            ids = javascript_clients.do("ids", name, namespace=namespace)
            found |= {ids["sid"], ids["engine"]}
        call = {"namespace": "/", "event": "echo", "args": ["hi"]}
        assert javascript_clients.do("call", name, **call) == "hi"
        javascript_clients.do("emit", name, namespace="/", event="breaks", args=["hi"])
        javascript_clients.do("close", name)
    service.wait_for(lambda: not any(service.samples("divan_socketio_clients").values()))
    return found


def test_events_and_requests_are_observed_side_by_side(service: Service, credentials: set[str]) -> None:
    """Counted, logged and traced each once, by names of their own; both lifespans run; no credential is told."""
    for _ in range(2):
        assert service.get("/hello").text == "hello"
    requests = service.samples("divan_http_requests_total")
    assert requests["GET", "/hello", "200"] == 2
    assert service.samples("divan_socketio_events_total")["echo", "/"] == len(TRANSPORTS)
    assert service.samples("divan_socketio_clients") == {("/",): 0, ("/chat",): 0}
    timed = service.samples("divan_http_request_duration_seconds_count")
    if service.way == "under":
        assert "/socket.io" not in {route for _, route, _ in requests}
    else:
        # Of what polls, the handshakes are timed, and what hangs until there is something to say is not.
        assert timed["GET", "/socket.io"] == sum(transports[0] == "polling" for transports in TRANSPORTS)
        assert requests["GET", "/socket.io", "200"] > timed["GET", "/socket.io"]
    service.stop()

    lines = service.lines()
    assert [line["msg"] for line in lines if line["logger"] == "served" and line["level"] == "WARNING"] == [
        "the application has started",
        "the application has ended",
    ]
    told = [line for line in lines if line["msg"] in ("EVENT / echo", "GET /hello")]
    assert sorted(line["msg"] for line in told) == ["EVENT / echo"] * len(TRANSPORTS) + ["GET /hello"] * 2
    # The stack has sent what it still had at the end of its own lifespan.
    spans = {ids_of_span(span): span for span in service.spans()}
    for line in told:
        span = spans[line["trace_id"], line["span_id"]]
        assert attributes(span)["divan.request_id"] == line["request_id"]
        assert not span.parent_span_id

    inside = [line for line in lines if line["logger"] == "served" and line["msg"] == "echoing"]
    assert [line["request_id"] for line in inside] == [
        line["request_id"] for line in told if line["msg"] != "GET /hello"
    ]
    assert leaks(service, credentials) == []


def leaks(service: Service, credentials: set[str]) -> list[str]:
    """Return what has left the process with a credential in it."""
    spans = map(str, service.receiver.resource_spans())
    return [text for text in (*service.output, *spans) if any(credential in text for credential in credentials)]


@pytest.mark.parametrize("late", [False, True], ids=["", "late"])
@pytest.mark.parametrize("hooks", [{}, {"on_startup": lambda: None}], ids=["lifespan", "on_startup"])
def test_the_gauges_are_compared_where_no_lifespan_comes_to_the_stack(
    hooks: dict[str, Callable[[], None]], late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`socketio.ASGIApp` with a start of its own keeps the lifespan from inside; or the server is made after it."""
    monkeypatch.setattr("divan_obs_asgi.socketio_ext.server.RECONCILE_EVERY_S", 0.01)
    observed = Observed()

    def made() -> Any:
        server = server_of(observed)
        server.on("say", lambda sid: None)
        return server

    first = made()
    app = socketio.ASGIApp(first, other_asgi_app=obs.build_stack(Starlette(), observed.obs), **hooks)
    with serve(app) as serving:
        server = app.engineio_server = made() if late else first
        opened = httpx.get(f"{serving.url}/socket.io/?EIO=4&transport=polling")
        assert opened.status_code == 200
        assert observed.samples("divan_socketio_events_total") == {(("event", "say"), ("namespace", "/")): 0}
        # As no client can do it.
        server.eio.sockets.clear()
        deadline = time.monotonic() + PATIENCE_S
        while observed.value("divan_socketio_transports", transport="polling"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert observed.value("divan_socketio_corrections_total", gauge="transports") == 1
