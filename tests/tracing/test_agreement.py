"""The log line, span, counters and histograms of a connection agree and are correct, however it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from time import perf_counter
from typing import Any

import anyio
import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from divan_obs_asgi.connection.routes import ROUTE_KEY, UNMATCHED
from divan_obs_asgi.testing import SCENARIOS, Scenario, converse, http_scope, websocket_scope
from divan_obs_asgi.types import ASGIApp, Message, Receive, Scope, Send
from tests.tracing.signals import Signals
from tests.verdicts import Server, Verdict, verdict

RECEIVE: Message = {"type": "receive"}
statuses = st.integers(100, 599)
http_steps = st.one_of(
    st.just(RECEIVE),
    st.builds(
        lambda status, trailers: {"type": "http.response.start", "status": status, "headers": [], "trailers": trailers},
        statuses,
        st.booleans(),
    ),
    st.builds(
        lambda size, more: {"type": "http.response.body", "body": b"x" * size, "more_body": more},
        st.integers(0, 9),
        st.booleans(),
    ),
    st.builds(lambda more: {"type": "http.response.trailers", "headers": [], "more_trailers": more}, st.booleans()),
    st.just({"type": "http.response.pathsend", "path": "/srv/a"}),
    st.builds(
        lambda size, more: {"type": "http.response.zerocopysend", "file": 3, "count": size, "more_body": more},
        st.integers(0, 9),
        st.booleans(),
    ),
    st.just({"type": "http.response.early_hint", "links": []}),
    st.just({"type": "http.response.push", "path": "/a.css", "headers": []}),
)
websocket_steps = st.one_of(
    st.just(RECEIVE),
    st.just({"type": "websocket.accept"}),
    st.just({"type": "websocket.send", "text": "hi"}),
    st.builds(lambda code: {"type": "websocket.close", "code": code}, st.sampled_from([1000, 1001, 1008, 1011, 4000])),
    st.builds(lambda status: {"type": "websocket.http.response.start", "status": status}, statuses),
    st.builds(lambda more: {"type": "websocket.http.response.body", "body": b"no", "more_body": more}, st.booleans()),
)
# How an application that keeps to ASGI begins, more often than chance would have it.
http_beginnings = st.sampled_from([[], [{"type": "http.response.start", "status": 200, "headers": []}]])
websocket_beginnings = st.sampled_from([[], [RECEIVE, {"type": "websocket.accept"}]])
http_incoming = st.lists(
    st.sampled_from([{"type": "http.request", "body": b"", "more_body": False}, {"type": "http.disconnect"}]),
    max_size=2,
)
received: Message = {"type": "websocket.receive", "text": "hi"}
closes = st.builds(lambda code: {"type": "websocket.disconnect", "code": code}, st.sampled_from([1000, 1005, 1006]))
websocket_incoming = st.builds(
    lambda count, closed: [{"type": "websocket.connect"}, *[received] * count, *closed],
    st.integers(0, 2),
    st.lists(closes, max_size=2),
)
common = {
    "end": st.sampled_from(["return", "raise", "interrupt", "wait"]),
    "handles": st.booleans(),
    "hangs_up_after": st.none() | st.integers(0, 5),
    "strict": st.booleans(),
}


class Interrupt(BaseException):
    pass


class Handled(Exception):
    pass


signals = Signals()


def scripted(server: Server, steps: Sequence[Message], end: str, route: str | None, handled: Handled | None) -> ASGIApp:
    """Return an application that reads, sends and ends as scripted, even in invalid ways."""

    async def follow(scope: Scope, receive: Receive, send: Send) -> None:
        if route is not None:
            scope[ROUTE_KEY] = route
        for step in steps:
            await (receive() if step is RECEIVE else send(dict(step)))
        if end == "raise":
            raise ValueError("on purpose")
        if end == "interrupt":
            raise Interrupt
        if end == "wait":
            await server.give_up()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        server.entered = perf_counter()
        if handled is None:
            await follow(scope, receive, send)
            return
        try:
            raise handled
        except Handled:
            await follow(scope, receive, send)

    return app


def judge(
    scope: Scope,
    steps: Sequence[Message],
    incoming: Sequence[Message],
    end: str,
    handles: bool,
    hangs_up_after: int | None,
    strict: bool,
    route: str | None,
) -> None:
    """Run one connection, and compare its signals with what the server has seen."""
    server = Server(incoming, hangs_up_after, strict)
    handled = Handled() if handles else None
    anyio.run(server.serve, signals.around(scripted(server, steps, end, route, handled)), scope)
    if not strict:
        # The behaviour of such a server with an application that breaks ASGI is undefined.
        signals.agree()
        return
    truth = verdict(server, scope, handled)
    event(truth.outcome)
    signals.bear_out(truth, route or UNMATCHED)


@given(
    beginning=http_beginnings,
    steps=st.lists(http_steps, max_size=5),
    incoming=http_incoming,
    route=st.none() | st.sampled_from(["/users/{id}", "/"]),
    method=st.sampled_from(["GET", "HEAD", "POST", "BREW"]),
    **common,
)
# What an application says to a client of which it knows that it has left, has not left either.
@example(
    beginning=[{"type": "http.response.start", "status": 200, "headers": []}],
    steps=[
        RECEIVE,
        {"type": "http.response.body", "body": b"a", "more_body": True},
        {"type": "http.response.zerocopysend", "file": 3, "count": 7, "more_body": True},
    ],
    incoming=[{"type": "http.disconnect"}],
    route=None,
    method="GET",
    end="return",
    handles=False,
    hangs_up_after=None,
    strict=True,
)
def test_signals_of_a_request_agree(beginning: list[Message], steps: list[Message], method: str, **case: Any) -> None:
    """Route, method, status, outcome, size, failure and duration of a request are the same and right in all signals."""
    judge(http_scope(method=method), [*beginning, *steps], **case)


@given(
    beginning=websocket_beginnings,
    steps=st.lists(websocket_steps, max_size=5),
    incoming=websocket_incoming,
    route=st.none() | st.sampled_from(["/ws/{room}"]),
    **common,
)
# A close code that was sent after the client had closed: the first one counts.
@example(
    beginning=[RECEIVE, {"type": "websocket.accept"}],
    steps=[RECEIVE, {"type": "websocket.close", "code": 1011}],
    incoming=[{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1006}],
    route=None,
    end="return",
    handles=False,
    hangs_up_after=None,
    strict=True,
)
# A part of a response after a client's goodbye, which belongs to nothing.
@example(
    beginning=[RECEIVE, {"type": "websocket.accept"}],
    steps=[RECEIVE, {"type": "websocket.http.response.body", "body": b"no", "more_body": False}],
    incoming=[{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}],
    route=None,
    end="raise",
    handles=False,
    hangs_up_after=None,
    strict=True,
)
def test_signals_of_a_websocket_agree(beginning: list[Message], steps: list[Message], **case: Any) -> None:
    """Route, outcome, close code, messages and duration of a WebSocket are the same and right in all signals."""
    judge(websocket_scope(), [*beginning, *steps], **case)


def test_signals_of_every_scenario_agree() -> None:
    """The same for each scenario of the contract."""
    for scenario in SCENARIOS:
        anyio.run(run, scenario, signals.around(scenario.app))
        record = signals.agree()
        assert (scenario.name, record.outcome, record.status) == (scenario.name, scenario.outcome, scenario.status)


async def run(scenario: Scenario, app: ASGIApp) -> None:
    await converse(app, scenario.scope(), scenario.incoming, hangs_up_after=scenario.hangs_up_after)


async def respond(request: Request) -> Response:
    return PlainTextResponse("hello")


async def refuse(request: Request) -> Response:
    raise HTTPException(418, "no tea")


async def fail(request: Request) -> Response:
    raise LookupError("on purpose")


async def stream(request: Request) -> Response:
    async def parts() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"

    return StreamingResponse(parts(), 206)


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.receive_text()


async def turn_away(websocket: WebSocket) -> None:
    await websocket.send_denial_response(PlainTextResponse("who are you?", 401))


framework = Starlette(
    routes=[
        Route("/", respond),
        Route("/users/{id:int}", respond, methods=["GET", "PUT"]),
        Route("/stream", stream),
        Mount("/t/{tenant}", routes=[Route("/tea", refuse), Mount("/deep", routes=[Route("/{what}/fail", fail)])]),
        Mount("/other", app=Starlette(routes=[Route("/b/{c}", respond)])),
        WebSocketRoute("/ws/{room}", echo),
        Mount("/sockets", routes=[WebSocketRoute("/turned/{away}", turn_away)]),
    ]
)
REQUESTS = [
    ("GET", "/", "/", 200),
    ("HEAD", "/", "/", 200),
    ("GET", "/users/7", "/users/{id}", 200),
    ("DELETE", "/users/7", "/users/{id}", 405),
    ("BREW", "/users/7", "/users/{id}", 405),
    ("GET", "/users/ada", UNMATCHED, 404),
    ("GET", "/nowhere", UNMATCHED, 404),
    ("GET", "/stream", "/stream", 206),
    ("GET", "/t/acme/tea", "/t/{tenant}/tea", 418),
    ("GET", "/t/acme/nothing", "/t/{tenant}/{__unmatched__}", 404),
    ("GET", "/t/acme/deep/down/fail", "/t/{tenant}/deep/{what}/fail", 500),
    ("GET", "/other/b/7", "/other/b/{c}", 200),
    ("GET", "/other/nothing", "/other/{__unmatched__}", 404),
]


@pytest.mark.parametrize("hangs_up_after", [None, 0, 1])
@pytest.mark.parametrize(("method", "path", "route", "status"), REQUESTS)
def test_signals_of_a_frameworks_request_agree(
    method: str, path: str, route: str, status: int, hangs_up_after: int | None
) -> None:
    """Mounted templates, an unmatched route, a wrong method, a streamed response, and a client that disconnects."""
    truth = of_the_framework(http_scope(path, method=method), [], route, hangs_up_after)
    assert truth.status == (0 if hangs_up_after == 0 else status)
    served = "error" if status == 500 else "ok"
    assert truth.outcome == (served if hangs_up_after is None else "client_disconnect")


@pytest.mark.parametrize(
    ("path", "incoming", "route", "outcome", "status"),
    [
        ("/ws/tea", [{"type": "websocket.disconnect", "code": 1000}], "/ws/{room}", "ok", 101),
        ("/ws/tea", [{"type": "websocket.disconnect", "code": 1006}], "/ws/{room}", "client_disconnect", 101),
        ("/ws/tea", [], "/ws/{room}", "cancelled", 101),
        ("/sockets/turned/away", [], "/sockets/turned/{away}", "ok", 401),
        ("/nowhere", [], UNMATCHED, "ok", 403),
    ],
)
def test_signals_of_a_frameworks_websocket_agree(
    path: str, incoming: list[Message], route: str, outcome: str, status: int
) -> None:
    """Accepted and closed by the client, lost, cancelled, denied, and a WebSocket on an unknown path."""
    said: list[Message] = [{"type": "websocket.connect"}, {"type": "websocket.receive", "text": "hi"}]
    truth = of_the_framework(websocket_scope(path), [*said, *incoming], route, None)
    assert (truth.outcome, truth.status) == (outcome, status)


def of_the_framework(scope: Scope, incoming: Sequence[Message], route: str, hangs_up_after: int | None) -> Verdict:
    server = Server(incoming, hangs_up_after)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        server.entered = perf_counter()
        await framework(scope, receive, send)

    app.routes = framework.routes  # type: ignore[attr-defined]
    anyio.run(server.serve, signals.around(app), scope)
    # Starlette answers 500 while it handles what a handler has raised.
    truth = verdict(server, scope, handled=server.error)
    signals.bear_out(truth, route)
    return truth
