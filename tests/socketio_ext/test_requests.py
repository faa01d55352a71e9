"""A long poll is no latency, and an upgrade is seen when it happens."""

# python-socketio is not annotated.
# mypy: allow-untyped-calls

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anyio
import httpx
import pytest
import socketio
from starlette.applications import Starlette

import divan_obs_asgi as obs
from divan_obs_asgi.types import ASGIApp
from tests.socketio_ext.sockets import server_of
from tests.stacks import Observed

POLLING = "/socket.io/?EIO=4&transport=polling"


def over(observed: Observed, server: Any) -> ASGIApp:
    return obs.build_stack(socketio.ASGIApp(server), observed.obs)


def under(observed: Observed, server: Any) -> ASGIApp:
    app: ASGIApp = socketio.ASGIApp(server, other_asgi_app=obs.build_stack(Starlette(), observed.obs))
    return app


def in_starlette(observed: Observed, server: Any) -> ASGIApp:
    app = Starlette()
    app.mount("/", socketio.ASGIApp(server))
    return obs.build_stack(app, observed.obs)


def in_fastapi(observed: Observed, server: Any) -> ASGIApp:
    app = pytest.importorskip("fastapi").FastAPI()
    app.mount("/socket.io", socketio.ASGIApp(server, socketio_path=""))
    return obs.build_stack(app, observed.obs)


async def poll(app: ASGIApp) -> str:
    """Connect by polling, and return the session."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
        handshake = json.loads((await client.get(POLLING)).text[1:])
        session = f"{POLLING}&sid={handshake['sid']}"
        await client.post(session, content="40")
        assert (await client.get(session)).text.startswith("40")
    return str(handshake["sid"])


@pytest.mark.parametrize("way", [over, in_starlette, in_fastapi])
def test_a_long_poll_is_counted_and_in_no_latency(way: Callable[..., ASGIApp]) -> None:
    """A client that hears nothing for half a minute is no slow request; its handshake and what it posts are timed."""
    observed = Observed()
    anyio.run(poll, way(observed, server_of(observed)))
    durations = {tuple(dict(labels).values()): n for labels, n in observed.samples(f"{DURATION}_count").items() if n}
    assert durations == {("GET", "/socket.io"): 1, ("POST", "/socket.io"): 1}
    counts = {dict(labels)["method"]: n for labels, n in observed.samples("divan_http_requests_total").items() if n}
    assert counts == {"GET": 2, "POST": 1}


DURATION = "divan_http_request_duration_seconds"


def test_a_stack_further_in_sees_nothing_of_it() -> None:
    """Where the Socket.IO server stands around the stack, its requests are none of the stack's."""
    observed = Observed()
    anyio.run(poll, under(observed, server_of(observed)))
    assert not any(observed.samples(f"{DURATION}_count").values())
    assert observed.value("divan_socketio_transports", transport="polling") == 1


def test_an_application_that_is_not_observed_is_left_alone() -> None:
    """Without OBS_SOCKETIO_ENABLED a poll is a request like any other."""
    observed = Observed({"OBS_SOCKETIO_ENABLED": "false"})
    anyio.run(poll, over(observed, server_of(observed)))
    assert sum(observed.samples(f"{DURATION}_count").values()) == 3


def test_an_upgrade_is_seen_at_once() -> None:
    """Before the client has said anything by its WebSocket."""
    observed = Observed()
    app = over(observed, server_of(observed))
    seen: list[float] = []

    async def conversation() -> None:
        sid = await poll(app)
        packets = [{"type": "websocket.receive", "text": packet} for packet in ("2probe", "5")]
        messages = iter([{"type": "websocket.connect"}, *packets])

        async def receive() -> dict[str, str]:
            message = next(messages, None)
            if message is None:
                seen.append(observed.value("divan_socketio_upgrades_total"))
            return message or {"type": "websocket.disconnect"}

        async def send(message: object) -> None: ...

        scope = {
            "type": "websocket",
            "path": "/socket.io/",
            "query_string": f"EIO=4&transport=websocket&sid={sid}".encode(),
            "headers": [(b"upgrade", b"websocket"), (b"connection", b"Upgrade")],
        }
        await app(scope, receive, send)

    anyio.run(conversation)
    assert seen == [1]
    assert observed.value("divan_socketio_transports", transport="websocket") == 0  # It has gone.


@pytest.mark.parametrize(
    "query", [b"", b"sid", b"sid=", b"&&sid=%ff%00&sid=b", b"\xff\xfe=\xff", b"sid=" + b"a" * 10_000]
)
def test_a_query_that_is_none_does_no_harm(query: bytes) -> None:
    """Whatever stands in it, Engine.IO answers as it does without us."""
    observed = Observed()
    plain = socketio.AsyncServer(async_mode="asgi")
    answers = [answer_to(query, app) for app in (socketio.ASGIApp(plain), over(observed, server_of(observed)))]
    assert answers[0] == answers[1]
    assert observed.samples("divan_obs_errors_total") == {}


def answer_to(query: bytes, app: ASGIApp) -> object:
    """Return the status, or what is raised: the oldest Engine.IO decodes queries strictly."""
    sent: list[Any] = []

    async def receive() -> dict[str, str]:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/socket.io/", "query_string": query, "headers": []}
    try:
        anyio.run(app, scope, receive, send)
    except UnicodeDecodeError as error:
        return type(error)
    return sent[0]["status"]
