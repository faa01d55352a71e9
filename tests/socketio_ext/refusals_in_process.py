"""Refusals that no client can cause by itself, without a network."""

# python-socketio is not annotated.
# mypy: allow-untyped-calls

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import socketio

import divan_obs_asgi as obs
from tests.socketio_ext.sockets import opened, server_of
from tests.stacks import Observed

PATH = "/socket.io/?EIO=4&transport=polling"


def refused(observed: Observed) -> dict[str, float]:
    samples = observed.samples("divan_socketio_refused_total")
    return {dict(labels)["reason"]: value for labels, value in samples.items() if value}


async def get(observed: Observed, server: Any, sid: str) -> httpx.Response:
    app = obs.build_stack(socketio.ASGIApp(server), observed.obs)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        return await client.get(f"{PATH}&sid={sid}")


def asks_for_a_session_that_is_not_open(observed: Observed) -> None:
    server = server_of(observed)

    async def conversation() -> httpx.Response:
        client = await opened(server)
        client.socket.connected = False
        return await get(observed, server, client.eio_sid)

    assert asyncio.run(conversation()).status_code == 400


def is_refused_by_a_later_engineio(observed: Observed) -> None:
    """One that refuses something new, as a request's only response."""
    server = server_of(observed)

    async def refuse(*args: Any, **options: Any) -> Any:
        engine = server.eio
        engine._log_error_once("Something new", "bad-something")
        response = engine._bad_request("Something new")
        return await engine._make_response(response, await engine._async["translate_request"](*args))

    server.eio.handle_request = refuse
    assert asyncio.run(get(observed, server, "any")).status_code == 400
