"""Requests whose server says by `receive` alone that the client has left."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from divan_obs_asgi import build_stack
from divan_obs_asgi.connection.disconnects import has_left
from divan_obs_asgi.connection.record import RECORD_KEY
from divan_obs_asgi.testing import http_scope
from divan_obs_asgi.types import ASGIApp, Message, Receive, Scope, Send
from tests.garbage import collected, freezing, ours, settle
from tests.patience import PATIENCE_S
from tests.stacks import BACKENDS, Observed, run_on

EACH = pytest.mark.parametrize("backend", BACKENDS)
START: Any = {"type": "http.response.start", "status": 200, "headers": []}
BODY: Any = {"type": "http.response.body", "body": b"done"}
GONE: Any = {"type": "http.disconnect"}


def part(body: bytes = b"", more_body: bool = False) -> Any:
    return {"type": "http.request", "body": body, "more_body": more_body}


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often: nothing here depends on how often."""
    monkeypatch.setattr("divan_obs_asgi.connection.disconnects._EVERY_S", 0.002)


class Server:
    """Hands over messages, and then waits for what the test says; allows one `receive` at a time."""

    def __init__(self, *messages: Message) -> None:
        self.messages = list(messages)
        self.says = anyio.Event()
        #: Set when a `receive` waits, and when one was cancelled.
        self.waits = anyio.Event()
        self.cancelled = anyio.Event()
        self.receiving = False
        self.received = 0

    async def receive(self) -> Message:
        assert not self.receiving
        self.receiving = True
        self.received += 1
        try:
            if not self.messages:
                self.waits.set()
                await self.says.wait()
                gone: Message = GONE
                return gone
            await anyio.lowlevel.checkpoint()
            message: Message = self.messages.pop(0)
            return message
        except anyio.get_cancelled_exc_class():
            self.cancelled.set()
            raise
        finally:
            self.receiving = False

    async def send(self, message: Message) -> None:
        await anyio.lowlevel.checkpoint()


async def until_disconnected(scope: Scope) -> None:
    while not scope[RECORD_KEY].disconnected:  # noqa: ASYNC110
        await anyio.sleep(0.001)


def asked(
    backend: str,
    app: ASGIApp,
    talk: Callable[[Callable[[Server, Scope], Awaitable[None]]], Awaitable[None]],
    **environ: str,
) -> Observed:
    """Have `talk` call the application in its stack, and return what was observed."""
    observed = Observed({"LOG_SAMPLING_RATE_INFO": "1", **environ})
    stack = build_stack(app, observed.obs)

    async def main() -> None:
        async def call(server: Server, scope: Scope) -> None:
            await stack(scope, server.receive, server.send)

        with anyio.fail_after(PATIENCE_S):
            await talk(call)

    run_on(backend, main)
    return observed


def outcomes(observed: Observed) -> list[str]:
    return [line["outcome"] for line in observed.lines() if line["logger"] == "divan_obs_asgi.access"]


@EACH
@pytest.mark.parametrize("reads", [False, True])
def test_a_client_that_leaves_is_noticed(backend: str, reads: bool) -> None:
    """Whether the application has read the body, which is empty, or not; what comes is still its own."""
    received: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if reads:
            received.append(await receive())
        await until_disconnected(scope)
        while len(received) < 2:
            received.append(await receive())
        await send(START)
        await send(BODY)

    async def talk(call: Any) -> None:
        server = Server(part())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call, server, http_scope())
            await server.waits.wait()
            server.says.set()

    assert outcomes(asked(backend, app, talk)) == ["client_disconnect"]
    assert received == [part(), GONE]


@EACH
def test_an_application_that_asks_meanwhile_waits_for_the_same_message(backend: str) -> None:
    """One `receive` at a time; and an application that is cancelled in it loses nothing."""
    received: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await server.waits.wait()
        received.append(await receive())
        with anyio.move_on_after(0):
            await receive()
        server.says.set()
        received.append(await receive())
        await send(START)

    server = Server(part())
    assert outcomes(asked(backend, app, lambda call: call(server, http_scope()))) == ["client_disconnect"]
    assert received == [part(), GONE]


@EACH
def test_nothing_of_a_body_is_received_before_the_application_asks(backend: str) -> None:
    """It is received as fast as the application reads it; when it has, a client that leaves is noticed."""
    received: list[bytes] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/other":
            await other.waits.wait()
            return
        # Another request has been looked at often enough, and so has this one.
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call_other)
        assert server.received == 0
        more = True
        while more:
            message = await receive()
            received.append(message["body"])
            more = message["more_body"]
        await server.waits.wait()
        server.says.set()
        await until_disconnected(scope)

    async def call_other() -> None:
        await calls[0](other, http_scope("/other"))

    async def talk(call: Any) -> None:
        calls.append(call)
        await call(server, http_scope(method="POST", headers=[(b"content-length", b"3")]))

    calls: list[Any] = []
    server, other = Server(part(b"a", True), part(b"b", True), part(b"c")), Server(part())
    assert outcomes(asked(backend, app, talk))[-1] == "client_disconnect"
    assert received == [b"a", b"b", b"c"]


@EACH
def test_what_waits_ends_with_the_application(backend: str) -> None:
    """Nothing of the request is left."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await server.waits.wait()
        await send(START)
        await send(BODY)

    async def talk(call: Any) -> None:
        await call(server, http_scope())
        await server.cancelled.wait()

    server = Server(part())
    assert outcomes(asked(backend, app, talk)) == ["ok"]


@EACH
def test_the_end_of_a_response_is_no_hang_up(backend: str) -> None:
    """Servers say the same then, and some of them before their `send` has returned."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await server.waits.wait()
        await send(START)
        await send(BODY)

    class Ending(Server):
        async def send(self, message: Message) -> None:
            if message["type"] == "http.response.body":
                self.says.set()
                for _ in range(20):
                    await anyio.lowlevel.checkpoint()

    server = Ending(part())
    assert outcomes(asked(backend, app, lambda call: call(server, http_scope()))) == ["ok"]


@EACH
def test_a_server_that_repeats_itself_is_not_asked_for_ever(backend: str) -> None:
    """Two messages are the most that is kept."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while server.received < 2:  # noqa: ASYNC110
            await anyio.sleep(0.001)
        assert [await receive(), await receive(), await receive()] == [part()] * 3
        assert server.received == 3
        await send(START)
        await send(BODY)

    server = Server(*[part()] * 100)
    assert outcomes(asked(backend, app, lambda call: call(server, http_scope()))) == ["ok"]


@EACH
def test_what_a_server_raises_reaches_the_application(backend: str) -> None:
    """Where it calls `receive`, and nowhere else."""

    class Raising(Server):
        async def receive(self) -> Message:
            self.received += 1
            raise LookupError

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while not server.received:  # noqa: ASYNC110
            await anyio.sleep(0.001)
        with pytest.raises(LookupError):
            await receive()
        await send(START)
        await send(BODY)

    server = Raising()
    assert outcomes(asked(backend, app, lambda call: call(server, http_scope()))) == ["ok"]


@EACH
def test_by_flag_the_application_is_cancelled(backend: str) -> None:
    """On any server."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await server.waits.wait()
        server.says.set()
        await anyio.sleep_forever()

    server = Server(part())
    observed = asked(backend, app, lambda call: call(server, http_scope()), OBS_CANCEL_ON_DISCONNECT="true")
    assert outcomes(observed) == ["client_disconnect"]


@pytest.mark.parametrize("leaves", [False, True])
def test_what_waited_leaves_nothing_to_the_garbage_collector(leaves: bool) -> None:
    """Neither task nor channel nor record is part of a cycle when the request has ended."""
    found: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        server = scope["server_"]
        await server.waits.wait()
        if leaves:
            server.says.set()
            await until_disconnected(scope)
        await send(START)
        await send(BODY)

    async def talk(call: Any) -> None:
        async def ask() -> None:
            server = Server(part())
            await call(server, {**http_scope(), "server_": server})
            await settle()

        await ask()  # What is made once.
        with collected() as left:
            for _ in range(5):
                await ask()
        found.extend(left)

    with freezing():
        asked("asyncio", app, talk)
    assert ours(found) == {}


@EACH
def test_one_bundle_serves_one_event_loop_after_another(backend: str) -> None:
    """As test suites do: what looked after the requests of a loop has ended with it."""
    observed = Observed({"LOG_SAMPLING_RATE_INFO": "1"})

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        server = scope["server_"]
        await server.waits.wait()
        server.says.set()
        await until_disconnected(scope)

    async def main() -> None:
        server = Server(part())
        with anyio.fail_after(PATIENCE_S):
            await build_stack(app, observed.obs)({**http_scope(), "server_": server}, server.receive, server.send)

    for _ in range(3):
        run_on(backend, main)
    assert outcomes(observed) == ["client_disconnect"] * 3


def test_a_server_that_is_not_known_does_not_say() -> None:
    """Nor one whose object has changed."""

    class RequestResponseCycle:
        __module__ = "uvicorn.protocols.http.new_impl"

        async def receive(self) -> Any: ...

        async def send(self, message: Message) -> None: ...

    changed = RequestResponseCycle()
    assert has_left(changed.receive, changed.send) is None
    changed.disconnected = True  # type: ignore[attr-defined]
    assert has_left(changed.receive, changed.send) is True
    assert has_left(Server.receive, Server.send) is None  # type: ignore[arg-type]
