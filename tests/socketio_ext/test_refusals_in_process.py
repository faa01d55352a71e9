"""Refusals that no client can bring about by itself, and whose line they are on."""

# python-socketio is not annotated.
# mypy: allow-untyped-calls

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.socketio_ext.refusals_in_process import get, refused
from tests.socketio_ext.sockets import connected, opened, server_of
from tests.stacks import Observed


def line_of(observed: Observed) -> dict[str, Any]:
    (line,) = [line for line in observed.lines() if line.get("route") == "/socket.io"]
    return line


def test_a_poll_that_nothing_is_sent_to_is_refused() -> None:
    """Engine.IO ends it, and the session."""
    observed = Observed()
    server = server_of(observed, ping_interval=0.01, ping_timeout=0.01)

    async def conversation() -> httpx.Response:
        return await get(observed, server, (await opened(server)).eio_sid)

    assert asyncio.run(conversation()).status_code == 400
    assert refused(observed) == {"poll_timeout": 1}
    assert line_of(observed)["outcome"] == "refused"


def test_a_packet_for_a_client_that_has_gone_is_on_no_line() -> None:
    """Whoever emits it, another client's request or a job, has done nothing wrong."""
    observed = Observed()
    server = server_of(observed)
    server.on("say", lambda sid: None)

    async def conversation() -> None:
        client = await connected(server)
        server.eio.sockets.clear()
        await server.emit("said", to=client.sid())

    asyncio.run(conversation())
    assert refused(observed) == {"recipient_gone": 1}


def test_a_refusal_of_a_later_engineio_is_counted() -> None:
    """Its reason is not known, but it is not lost."""
    observed = Observed()
    server = server_of(observed)
    server.eio._bad_request("Something new")
    server.eio._log_error_once("Something new", "bad-something")
    server.eio._bad_request("Something new")
    assert refused(observed) == {"other": 2}


def test_an_exception_of_a_handler_is_not_a_refusal() -> None:
    """It has a counter of its own; a callback's, too."""
    observed = Observed()
    server = server_of(observed)

    def fail(*_: object) -> None:
        raise LookupError

    server.on("fail", fail)

    async def conversation() -> None:
        client = await connected(server)
        with pytest.raises(LookupError):
            await client.send('2["fail"]')
        await server.emit("question", to=client.sid(), callback=fail)
        with pytest.raises(LookupError):
            await client.send("31[]")

    asyncio.run(conversation())
    assert refused(observed) == {}


def test_the_counter_of_acknowledgements_cannot_be_taken() -> None:
    """Number 0 of a client's callbacks is python-socketio's counter: without it no emit gets an answer any more."""
    observed = Observed()
    server = server_of(observed)
    server.on("say", lambda sid: None)
    answers: list[object] = []

    async def conversation() -> None:
        client = await connected(server)
        await server.emit("question", to=client.sid(), callback=answers.append)
        await client.send('30["no"]')
        await server.emit("question", to=client.sid(), callback=answers.append)
        await client.send('32["yes"]')

    asyncio.run(conversation())
    assert answers == ["yes"]
    assert refused(observed) == {"unknown_ack": 1}
