"""What python-socketio, Engine.IO and asyncio log by themselves holds no credential and nothing that clients send."""

# python-socketio is not annotated.
# mypy: allow-untyped-calls

from __future__ import annotations

import asyncio
import gc
import io
import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import anyio
import httpx
import pytest
import socketio
from engineio.packet import Packet

from tests.socketio_ext.sockets import connected, server_of
from tests.socketio_ext.test_requests import POLLING, poll
from tests.stacks import Observed

LOGGERS = ("socketio.server", "engineio.server", "asyncio")
SECRET = "my-private-words"
ROOM = "room-of-ada-lovelace"


@pytest.fixture
def output(observed: Observed) -> Iterator[io.StringIO]:
    """What a handler of the standard library writes, of all levels."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(lambda record: record.name in LOGGERS)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def observed() -> Observed:
    """With a pipeline of JSON lines, too."""
    observed = Observed({"LOG_LEVEL": "DEBUG"})
    observed.obs.log.install()
    return observed


@pytest.fixture
def server(observed: Observed) -> Iterator[Any]:
    forget_upstreams_own_settings()
    server = server_of(observed, logger=True, engineio_logger=True, async_handlers=True)

    async def say(sid: str, text: str) -> str:
        await server.enter_room(sid, ROOM)
        for room in (sid, ROOM, [sid, ROOM], None):
            await server.emit("said", text, to=room)
        await server.leave_room(sid, ROOM)
        await server.close_room(ROOM)
        return text

    async def fail(sid: str, text: str) -> None:
        raise LookupError(f"nobody is {sid}")

    server.on("say", say)
    server.on("fail", fail)
    yield server
    forget_upstreams_own_settings()


def forget_upstreams_own_settings() -> None:
    """The first server of a process gives the loggers a level, and a handler; ours gives them a filter of its own."""
    for name in ("socketio.server", "engineio.server"):
        logging.getLogger(name).setLevel(logging.NOTSET)
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).filters.clear()


async def ended() -> None:
    """Wait for the tasks that events are handled in, and leave what they have raised for asyncio to tell."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others)


def test_no_id_of_a_session_and_no_payload_is_logged(server: Any, observed: Observed, output: io.StringIO) -> None:
    """Of connects, events, rooms, acknowledgements, polls, errors: each is told, and none tells who or what."""

    async def conversation() -> list[str]:
        client = await connected(server)
        credentials = [client.eio_sid, client.sid()]
        socket = server.eio.sockets[client.eio_sid]
        for packet in (
            f'421["say","{SECRET}"]',
            f'42["fail","{SECRET}"]',
            f'43["{SECRET}"]',
            f'42["{SECRET}"]',
            f'42[["{SECRET}"]]',
            "41",
            f'421["say","{SECRET}"]',
        ):
            await socket.receive(Packet(encoded_packet=packet))
            await ended()
        await server.eio.send(client.eio_sid, SECRET)
        await client.close()
        await server.eio.send(client.eio_sid, SECRET)
        credentials.append(await poll(socketio.ASGIApp(server)))
        return credentials

    credentials = anyio.run(conversation)
    gc.collect()  # By then asyncio has told what nobody has asked for.
    lines = str([line for line in observed.lines() if line["logger"] in LOGGERS])
    for told in (output.getvalue(), lines):
        assert [secret for secret in (*credentials, SECRET, ROOM) if secret in told] == []
        for message in (
            "received event",
            "__unknown__",
            "entering room",
            "leaving room",
            "[redacted:room] is closing",
            "emitting event",
            "to [redacted:session]",
            "to [redacted:room]",
            "to all",
            "Cannot send to sid",
            "Received packet MESSAGE",
        ):
            assert message in told
        assert "string:" in told
    assert "nobody is [redacted:session]" in output.getvalue()
    # One line of JSON says so: the event's. Asyncio's is about the same exception.
    (failed,) = [line for line in observed.lines() if "nobody is" in str(line)]
    assert "LookupError: nobody is [redacted:session]" in failed["error"]["traceback"]
    assert observed.samples("divan_obs_errors_total") == {}


def test_a_session_of_another_process_is_masked(server: Any, observed: Observed, output: io.StringIO) -> None:
    """Where a balancer brings a client to the wrong process, Engine.IO logs the session that it does not know."""
    foreign = server_of(observed).eio
    sessions = [foreign.generate_id() for _ in range(50)][-2:]

    async def knock() -> None:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(socketio.ASGIApp(server)), base_url="http://a"
        ) as http:
            for session in (*sessions, "of our own%making"):
                for ask in (http.get, http.post):
                    assert (await ask(f"{POLLING}&sid={quote(session)}")).status_code == 400

    anyio.run(knock)
    assert [session for session in (*sessions, "making") if session in output.getvalue()] == []
    assert "Invalid session [redacted:session]" in output.getvalue()


def test_what_is_no_session_is_left_as_it_is(server: Any, output: io.StringIO) -> None:
    """Also what looks like one: twenty letters, a name of a module, an id of another service."""
    words = (
        "async_pubsub_manager",
        "ConnectionRefusedErr",
        "AbCdEfGhIjKlMnOp____",
        "req_0123456789abcdef",
        "äöüäöüäöüäöüäöüäöüäö",
    )
    for word in words:
        server.logger.warning("about %s", word)
    assert output.getvalue().split() == " ".join(f"about {word}" for word in words).split()


def test_a_session_of_an_applications_own_making_is_known_while_it_lasts(server: Any, output: io.StringIO) -> None:
    """Whatever its ids look like."""
    server.eio.generate_id = iter(("first-0001", "second-0002", "third-0003")).__next__

    async def conversation() -> None:
        client = await connected(server)
        server.logger.warning("%s and %s are here", client.eio_sid, client.sid())

    anyio.run(conversation)
    assert output.getvalue().endswith("[redacted:session] and [redacted:session] are here\n")


def test_what_cannot_be_read_is_not_written(server: Any, output: io.StringIO) -> None:
    """Where a record is broken nobody knows what is in it."""
    server.logger.warning("%s and %s", server.eio.generate_id())
    assert output.getvalue() == "[redacted:unreadable]\n"


def test_the_filter_goes_with_its_server() -> None:
    """Loggers belong to the process: a thousand servers leave nothing at them."""
    observed = Observed()
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [len(logger.filters) for logger in loggers]
    server = server_of(observed)
    assert [len(logger.filters) for logger in loggers] == [count + 1 for count in before]
    del server, observed
    gc.collect()
    assert [len(logger.filters) for logger in loggers] <= before
