"""The watchdog: the lag of the event loop, and the code that blocks it."""

from __future__ import annotations

import asyncio
import copy
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from queue import Queue, SimpleQueue
from typing import Any, cast

import anyio
import anyio.to_thread
import httpx
import pytest

from divan_obs_asgi.runtime.watchdog import Place, Watchdog, frames_below_task, place_of, starved
from tests.logs.root_logger import root_logger_kept
from tests.patience import PATIENCE_S
from tests.servers.command import Command, until
from tests.stacks import BACKENDS, Observed, run_on

SECRET = "hunter2"
STALLS = "divan_event_loop_stalls_total"


class ObservedLoop(Observed):
    """An `Observability` with a watchdog for short stalls."""

    def __init__(self) -> None:
        super().__init__()
        self.obs.log.install()
        self.watchdog = Watchdog(self.obs.metrics, self.obs.faults, stall_s=0.05, interval_s=0.01)

    def stalls(self, where: str = "ObservedLoop.block_the_loop") -> list[dict[str, object]]:
        """Return the log lines for one place. On a busy machine there are others."""
        lines = [line for line in self.lines() if line["logger"] == "divan_obs_asgi.watchdog"]
        return [line for line in lines if where in str(line["blocked_at"])]

    def block_the_loop(self, password: str = SECRET) -> None:
        """Block for longer than the watchdog allows."""
        time.sleep(0.2)

    def run(self, backend: str, act: Callable[[], None], done: Callable[[], bool]) -> None:
        """Run `act` in the loop until `done`. It runs again if the watchdog itself was late."""

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.watchdog.run)
                await anyio.sleep(0.03)
                act()
                with anyio.fail_after(PATIENCE_S):
                    while True:
                        await anyio.sleep(0.1)
                        if done():
                            break
                        act()
                tasks.cancel_scope.cancel()

        run_on(backend, main)


@pytest.fixture
def observed() -> Iterator[ObservedLoop]:
    with root_logger_kept():
        yield ObservedLoop()


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_code_that_blocks_is_named(observed: ObservedLoop, backend: str) -> None:
    """By file, line and function, on every event loop, and without values."""
    observed.run(backend, observed.block_the_loop, lambda: bool(observed.stalls()))
    assert observed.value(STALLS) >= 1
    (line,) = observed.stalls()
    assert line["level"] == "WARNING"
    place = str(line["blocked_at"])
    assert place.startswith("tests/runtime/test_watchdog.py:")
    assert place.endswith("ObservedLoop.block_the_loop")
    assert re.match(r"The event loop was blocked for \d+\.\d{3} s at ", str(line["msg"]))
    assert place in str(line["msg"])
    blocked_ms, stack = line["blocked_ms"], line["blocked_stack"]
    assert isinstance(blocked_ms, int)
    assert blocked_ms >= 50
    assert isinstance(stack, list)
    assert any("ObservedLoop.block_the_loop" in frame for frame in stack)
    assert SECRET not in observed.stream.getvalue().decode()


def test_the_application_is_named_and_not_the_library_in_which_it_waits(observed: ObservedLoop) -> None:
    """The innermost frame belongs to `json`, which the author cannot change."""

    def encode() -> None:
        end = time.monotonic() + 0.2
        while time.monotonic() < end:
            json.loads("[" * 500 + "]" * 500)

    observed.run("asyncio", encode, lambda: bool(observed.stalls(".encode")))


@pytest.mark.parametrize("backend", ["asyncio", "uvloop"])
def test_the_program_that_runs_the_loop_is_not_named(observed: ObservedLoop, backend: str) -> None:
    """If only library code blocks, that code is named."""

    def seen() -> bool:
        # Repeatedly: on a busy machine the watchdog itself may be too late to judge.
        if not observed.stalls("Condition.wait"):
            asyncio.get_running_loop().call_soon(threading.Event().wait, 0.3)
        return bool(observed.stalls("Condition.wait"))

    observed.run(backend, lambda: None, seen)
    (line,) = observed.stalls("Condition.wait")
    assert str(line["blocked_at"]).startswith("threading.py:")
    assert "test_watchdog" not in str(line["blocked_stack"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_idle_loop_is_not_named(backend: str) -> None:
    """It waits for the processor, which other threads and processes use."""
    found: SimpleQueue[tuple[int, int]] = SimpleQueue()

    async def idle() -> None:
        with anyio.move_on_after(30):
            for _ in range(2):
                await anyio.sleep(0.001)
                found.put((threading.get_ident(), frames_below_task()))
            await anyio.sleep_forever()

    async def look() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(idle)
            await anyio.to_thread.run_sync(wait_until_idle)
            tasks.cancel_scope.cancel()

    def wait_until_idle() -> None:
        _, end = found.get(timeout=PATIENCE_S), time.monotonic() + PATIENCE_S
        thread, below = found.get(timeout=PATIENCE_S)
        while (place := place_of(thread, below)) is not None and "trio" not in place.at:
            assert time.monotonic() < end, place
            time.sleep(0.001)

    run_on(backend, look)


def test_a_place_is_logged_once_a_minute_and_counted_each_time(observed: ObservedLoop) -> None:
    """A service that blocks all the time does not flood its log."""
    observed.run("asyncio", observed.block_the_loop, lambda: bool(observed.stalls()))
    observed.run("asyncio", observed.block_the_loop, lambda: observed.value(STALLS) >= 2)
    assert len(observed.stalls()) == 1


def test_the_lag_is_measured_all_the_time(observed: ObservedLoop) -> None:
    """Without stalls too, so that there is a distribution."""
    count, total = (f"divan_event_loop_lag_seconds_{part}" for part in ("count", "sum"))
    observed.run("asyncio", lambda: time.sleep(0.1), lambda: observed.value(count) > 10)
    assert observed.value(total) > 0.05


def test_a_late_watchdog_counts_nothing() -> None:
    """The whole process was stopped, not by its code."""
    assert not starved(now=10.1, look_at=10.0, stall_s=0.2)
    assert starved(now=10.3, look_at=10.0, stall_s=0.2)


def test_it_runs_with_the_application_unless_switched_off() -> None:
    """OBS_WATCHDOG_ENABLED=false removes the task and its thread."""
    count = "divan_event_loop_lag_seconds_count"

    on, off = Observed(), Observed({"OBS_WATCHDOG_ENABLED": "false"})

    async def live() -> None:
        async with on.obs.running(), off.obs.running():
            with anyio.fail_after(PATIENCE_S):
                while not on.value(count):  # noqa: ASYNC110 - it sets no event
                    await anyio.sleep(0.01)

    anyio.run(live)
    assert off.value(count) == 0


def test_its_own_code_is_never_named() -> None:
    """Its task starts a thread and waits for it in the standard library, on a busy machine for long."""
    seen: SimpleQueue[Place | None] = SimpleQueue()
    loop_thread = threading.get_ident()

    class Metrics:
        """Stands where the watchdog calls out of its own task."""

        @property
        def event_loop_lag(self) -> object:
            seen.put(place_of(loop_thread, 0))
            raise LookupError

    watchdog = Watchdog(cast(Any, Metrics()), cast(Any, None), stall_s=0.05)
    with pytest.raises(LookupError):
        watchdog.run().send(None)
    assert seen.get_nowait() is None


def test_the_place_is_in_its_stack_however_deep_a_library_is() -> None:
    """A deep stack of a library does not hide its caller."""
    queue: Queue[object] = Queue()
    # `copy` recurses frame by frame, and ends in the code of the queue.
    deep: object = type("Deep", (), {"__deepcopy__": staticmethod(queue.get)})()
    for _ in range(8):
        deep = [deep]

    def copies() -> None:
        copy.deepcopy(deep)

    thread = threading.Thread(target=copies)
    thread.start()
    try:
        end = time.monotonic() + PATIENCE_S
        while (place := place_of(thread.ident or 0, 0)) is None or "Condition.wait" not in place.stack[0]:
            assert time.monotonic() < end, place
            time.sleep(0.001)
    finally:
        queue.put(None)
        thread.join(PATIENCE_S)
    assert place.at.endswith("copies")
    assert place.at == place.stack[-1]
    assert len(place.stack) == 8


SLOW_START = """
import threading, time
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
import divan_obs_asgi as obs

def load_the_model():
    time.sleep(1.0)

@asynccontextmanager
async def lifespan(app):
    load_the_model()
    threading.Event().wait(0.7)
    yield

async def endpoint(request):
    threading.Event().wait(1.0)
    return PlainTextResponse("served")

app = Starlette(routes=[Route("/", endpoint)], lifespan=lifespan)
obs.init(app)
"""


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_slow_start_is_not_a_stall_and_a_slow_request_is(loop: str) -> None:
    """With the real uvicorn command: no request waits for the imports of a lifespan."""
    command = Command(SLOW_START, "uvicorn", "app", "--loop", loop)
    try:
        command.start()
        until(lambda: "Application startup complete." in command.messages(), command)

        def stalls() -> list[dict[str, Any]]:
            return [line for line in command.lines() if line["logger"] == "divan_obs_asgi.watchdog"]

        def endpoint_logged() -> bool:
            # Again, if the watchdog itself was late.
            assert httpx.get(command.url, timeout=PATIENCE_S).text == "served"
            return any("endpoint" in line["blocked_at"] for line in stalls())

        until(endpoint_logged, command)
        assert not [line for line in stalls() if "lifespan" in str(line) or "load_the_model" in str(line)]
        (line,) = [line for line in stalls() if "endpoint" in line["blocked_at"]]
        assert line["blocked_stack"][2] == line["blocked_at"] == "shop.py:20 endpoint"
    finally:
        command.close()
