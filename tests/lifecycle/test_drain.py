"""The drain: what happens between SIGTERM and the end of the process."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from types import FrameType
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import divan_obs_asgi as obs
from divan_obs_asgi.internal_errors import InternalErrors
from divan_obs_asgi.lifecycle.drain import DEFAULT_DELAY_S, Drain, closing
from divan_obs_asgi.testing import converse
from divan_obs_asgi.types import Message, Receive, Scope, Send
from tests.logs.root_logger import root_logger_kept
from tests.patience import PATIENCE_S
from tests.stacks import Observed

BACKENDS = [("asyncio", {}), ("asyncio", {"use_uvloop": True}), ("trio", {})]


@pytest.fixture(params=BACKENDS, ids=["asyncio", "uvloop", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Server:
    """The signal handler of a server: it records the signals."""

    def __init__(self) -> None:
        self.received: list[int] = []

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.received.append(number)

    async def has_received(self) -> None:
        await until(lambda: bool(self.received))


async def until(condition: Callable[[], bool]) -> None:
    """Wait for the effect of a signal handler."""
    with anyio.fail_after(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - no event is set
            await anyio.sleep(0.001)


@pytest.fixture
def server() -> Iterator[Server]:
    """A server in this process, with its signal handlers installed."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}
    server = Server()
    for number in numbers:
        signal.signal(number, server)
    yield server
    for number, handler in before.items():
        signal.signal(number, handler)


def a_drain(delay_s: float | None = 60.0, **options: Any) -> Drain:
    return Drain(delay_s, InternalErrors(lambda component: None), **options)


@asynccontextmanager
async def running(drain: Drain) -> AsyncIterator[None]:
    """The life of an application."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(drain.run)
        await anyio.wait_all_tasks_blocked()
        yield
        tasks.cancel_scope.cancel()


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.anyio
async def test_sigterm_reaches_the_server_after_the_delay(server: Server) -> None:
    """The service is not ready at once."""
    drain = a_drain(0.05)
    async with running(drain):
        assert drain.state == "serving"
        send(signal.SIGTERM)
        assert (drain.active, drain.cause, drain.state, server.received) == (True, "SIGTERM", "draining", [])
        await server.has_received()
        assert (drain.state, server.received) == ("ending", [signal.SIGTERM])


@pytest.mark.anyio
@pytest.mark.parametrize(
    "numbers", [[signal.SIGTERM], [signal.SIGINT], [signal.SIGTERM, signal.SIGTERM]], ids=["delay", "Ctrl-C", "second"]
)
@pytest.mark.parametrize("delay_s", [0.0, 0.05])
async def test_on_end_is_called_when_the_server_shuts_down(
    server: Server, numbers: list[signal.Signals], delay_s: float
) -> None:
    """Once, however it came about, and after the server got the signal: the server waits for these responses."""
    drain = a_drain(delay_s)
    found: list[tuple[str, bool]] = []

    async def end() -> None:
        found.append((drain.state, bool(server.received)))

    async def fail() -> None:
        raise LookupError("on purpose")

    drain.on_end(fail)
    drain.on_end(end)
    async with running(drain):
        drain.start("maintenance")
        await anyio.wait_all_tasks_blocked()
        assert found == []
        for number in numbers:
            send(number)
        await until(lambda: bool(found))
        await anyio.wait_all_tasks_blocked()
    assert found == [("ending", True)]


@pytest.mark.anyio
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_the_delay(server: Server, second: signal.Signals) -> None:
    """SIGTERM or SIGINT."""
    async with running(a_drain()):
        send(signal.SIGTERM)
        assert server.received == []
        send(second)
        assert server.received == [second]


@pytest.mark.anyio
async def test_a_signal_is_forwarded_once(server: Server) -> None:
    """A server that shuts down does not get it again."""
    drain = a_drain()
    async with running(drain):
        send(signal.SIGTERM)
        send(signal.SIGTERM)
        assert drain.state == "ending"
    assert server.received == [signal.SIGTERM]


@pytest.mark.anyio
async def test_ctrl_c_has_no_delay(server: Server) -> None:
    """A person waits for it."""
    drain = a_drain()
    async with running(drain):
        send(signal.SIGINT)
        assert (server.received, drain.cause, drain.state) == ([signal.SIGINT], "SIGINT", "ending")


@pytest.mark.anyio
async def test_without_a_delay_the_signal_is_forwarded_at_once(server: Server) -> None:
    drain = a_drain(0.0)
    async with running(drain):
        send(signal.SIGTERM)
        assert (server.received, drain.active) == ([signal.SIGTERM], True)


@pytest.mark.anyio
async def test_the_delay_counts_from_the_start_of_the_drain(server: Server) -> None:
    """A drain that was started by hand before the deploy does not wait twice."""
    clock = Clock()
    drain = a_drain(clock=clock)
    async with running(drain):
        assert drain.start("maintenance")
        assert not drain.start("again")
        clock.now += 59.0
        assert (drain.cause, drain.remaining_s(), server.received) == ("maintenance", 1.0, [])
        clock.now += 1.0
        send(signal.SIGTERM)
        assert server.received == [signal.SIGTERM]


@pytest.mark.anyio
async def test_all_callbacks_are_called(server: Server) -> None:
    """In the application's event loop. One that fails is reported, and delays neither the others nor the end."""
    components: list[str] = []
    calls: list[str] = []

    async def broken() -> None:
        raise ValueError("broken")

    async def emit() -> None:
        await anyio.lowlevel.checkpoint()
        calls.append("server_draining")

    async def hang() -> None:
        await anyio.sleep_forever()

    drain = Drain(0.02, InternalErrors(components.append))
    for callback in (broken, hang, emit):
        drain.on_start(callback)
    async with running(drain):
        send(signal.SIGTERM)
        await server.has_received()
        await until(lambda: bool(calls))
    assert (calls, components) == (["server_draining"], ["drain"])


def test_a_callback_that_awaits_a_cancelled_task_does_not_prevent_the_end(server: Server) -> None:
    """The process must still end by its SIGTERM."""

    async def emit() -> None:
        other = asyncio.create_task(anyio.sleep_forever())
        await anyio.lowlevel.checkpoint()
        other.cancel()
        await other

    async def main() -> None:
        drain.on_start(emit)
        async with running(drain):
            send(signal.SIGTERM)
            await server.has_received()
            await until(lambda: bool(components))

    components: list[str] = []
    drain = Drain(0.02, InternalErrors(components.append))
    anyio.run(main)
    assert (server.received, components) == ([signal.SIGTERM], ["drain"])


@pytest.mark.anyio
async def test_a_delayed_signal_is_forwarded_at_the_end_of_the_application(server: Server) -> None:
    """A server that ends by itself meanwhile does not lose the signal."""
    async with running(a_drain()):
        send(signal.SIGTERM)
        assert server.received == []
    assert server.received == [signal.SIGTERM]


@pytest.mark.anyio
async def test_a_gauge_that_fails_does_not_affect_the_drain(server: Server) -> None:
    """The series of several workers are files, and a disk can be full."""

    def full(drains: bool) -> None:
        raise OSError("No space left on device")

    components: list[str] = []
    drain = Drain(0.02, InternalErrors(components.append), full)
    async with running(drain):
        send(signal.SIGTERM)
        assert (drain.state, server.received) == ("draining", [])
        await server.has_received()
    assert components == ["drain", "drain"]


@pytest.mark.anyio
async def test_a_later_handler_may_still_call_the_drains(server: Server) -> None:
    """After the application's end the signal is forwarded to the server. A drain by hand wakes no task."""
    drain = a_drain()
    async with running(drain):
        ours = signal.getsignal(signal.SIGTERM)
        assert callable(ours)
        signal.signal(signal.SIGTERM, lambda number, frame: ours(number, frame))
    send(signal.SIGTERM)
    assert server.received == [signal.SIGTERM]
    assert drain.start("test")


@pytest.mark.anyio
async def test_an_application_that_is_wrapped_twice_ends_once(server: Server) -> None:
    """With one bundle the signal is delayed once, and reaches the server."""
    observed = Observed({"OBS_DRAIN_DELAY_S": "0.02"})
    with root_logger_kept():
        wrapped: Any = obs.wrap(obs.wrap(without_lifespan, observed.obs), observed.obs)
        await converse(wrapped, {"type": "lifespan", "state": {}})
        await anyio.wait_all_tasks_blocked()
        send(signal.SIGTERM)
        await server.has_received()
        await observed.obs.background.end_alone()
    assert server.received == [signal.SIGTERM]


async def without_lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    raise NotImplementedError


@pytest.mark.anyio
async def test_the_gauge_follows_the_drain(server: Server) -> None:
    """`divan_draining` is 0, and 1 from the start of a drain on."""
    values: list[bool] = []
    drain = a_drain(on_change=values.append)
    async with running(drain):
        drain.start("test")
        await anyio.wait_all_tasks_blocked()
    assert values == [False, True]


@pytest.mark.anyio
async def test_the_previous_handlers_are_restored(server: Server) -> None:
    """When the application has ended."""
    async with running(a_drain()):
        assert signal.getsignal(signal.SIGTERM) is not server
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == (server, server)


@pytest.mark.anyio
async def test_a_later_handler_stays(server: Server) -> None:
    """It is not replaced by the previous one."""
    later = Server()
    async with running(a_drain()):
        signal.signal(signal.SIGTERM, later)
    assert signal.getsignal(signal.SIGTERM) is later


@pytest.mark.anyio
async def test_an_application_that_starts_again_serves_again(server: Server) -> None:
    """Tests and reloaders start one several times in a process."""
    drain = a_drain()
    async with running(drain):
        send(signal.SIGTERM)
    del server.received[:]
    async with running(drain):
        assert (drain.state, drain.cause) == ("serving", "")
        send(signal.SIGTERM)
        assert (drain.state, server.received) == ("draining", [])


@pytest.mark.anyio
async def test_signals_can_be_left_alone(server: Server) -> None:
    """With OBS_DRAIN_ENABLED=false. A drain can still be started by hand."""
    drain = a_drain(signals=False)
    async with running(drain):
        send(signal.SIGTERM)
        assert (server.received, drain.active) == ([signal.SIGTERM], False)
        assert drain.start("test")


@pytest.mark.anyio
async def test_an_ignored_signal_stays_ignored(server: Server) -> None:
    """As in a worker whose parent handles Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    drain = a_drain()
    async with running(drain):
        send(signal.SIGINT)
        assert not drain.active
        send(signal.SIGTERM)
        assert drain.active


def test_a_handler_of_the_event_loop_is_chained() -> None:
    """hypercorn uses `loop.add_signal_handler`. Its handler is called after the delay, and restored at the end."""

    async def main() -> list[str]:
        calls: list[str] = []
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, calls.append, "the server")
        drain = a_drain(0.5)
        async with running(drain):
            send(signal.SIGTERM)
            await until(lambda: drain.active)
            assert (drain.state, calls) == ("draining", [])
            await until(lambda: bool(calls))
            assert drain.state == "ending"
        async with running(after := a_drain()):
            pass
        send(signal.SIGTERM)
        await until(lambda: len(calls) == 2)
        assert not after.active
        loop.remove_signal_handler(signal.SIGTERM)
        return calls

    before = signal.getsignal(signal.SIGTERM)
    try:
        assert asyncio.run(main()) == ["the server", "the server"]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_loop_that_hides_its_handlers_keeps_them(caplog: pytest.LogCaptureFixture) -> None:
    """As uvloop does. A log line says so, and the server shuts down as without the library."""

    async def main() -> tuple[list[str], bool]:
        calls: list[str] = []
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, calls.append, "the server")
        drain = a_drain()
        async with running(drain):
            send(signal.SIGTERM)
            await until(lambda: bool(calls))
        loop.remove_signal_handler(signal.SIGTERM)
        return calls, drain.active

    caplog.set_level(logging.INFO)
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert anyio.run(main, backend_options={"use_uvloop": True}) == (["the server"], False)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert caplog.messages == [
        "SIGTERM does not start a drain: its handler belongs to an event loop that does not expose it. "
        "Use POST /ops/drain."
    ]


def test_signals_that_cannot_be_handled_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A server in another thread receives no signal. A drain can still be started by hand."""
    drain = a_drain()
    calls: list[str] = []

    async def emit() -> None:
        calls.append(drain.state)

    async def main() -> None:
        drain.on_start(emit)
        async with running(drain):
            drain.start("test")
            await anyio.wait_all_tasks_blocked()

    def twice() -> None:
        anyio.run(main)
        anyio.run(main)

    caplog.set_level(logging.INFO)
    thread = threading.Thread(target=twice)
    thread.start()
    thread.join()
    assert calls == ["draining", "draining", "draining"]  # The second life has two callbacks.
    lines = [message for message in caplog.messages if message.startswith("SIGTERM")]
    assert lines == ["SIGTERM does not start a drain: only the main thread may handle signals. Use POST /ops/drain."]


def test_without_readiness_checks_there_is_no_delay() -> None:
    """A development server reloads at once. If readiness was polled within the last minute, there is a delay."""
    clock = Clock()
    drain = a_drain(None, clock=clock)
    assert drain.delay_s == 0.0
    drain.note_poll()
    clock.now += 59.0
    assert drain.delay_s == DEFAULT_DELAY_S
    clock.now += 2.0
    assert drain.delay_s == 0.0


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("scope", "headers"),
    [
        ({"type": "http", "http_version": "1.1"}, [(b"a", b"b"), (b"connection", b"close")]),
        ({"type": "http", "http_version": "2"}, [(b"a", b"b")]),  # RFC 9113, section 8.2.2: it knows no such header.
        ({"type": "websocket", "http_version": "1.1"}, [(b"a", b"b")]),
    ],
)
async def test_responses_close_their_connections_during_a_drain(
    scope: dict[str, Any], headers: list[tuple[bytes, bytes]]
) -> None:
    """Otherwise a keep-alive client would send a request while the server closes."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    last = closing(scope, send)
    await last({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
    await last({"type": "http.response.body"})
    assert sent == [
        {"type": "http.response.start", "status": 200, "headers": headers},
        {"type": "http.response.body"},
    ]
    malformed = {"type": "http.response.start", "status": 200, "headers": None}
    await last(malformed)
    assert sent[-1] is malformed
