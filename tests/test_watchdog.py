"""The watchdog: how late the event loop is, and what code is to blame."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue

import anyio
import anyio.to_thread
import pytest

from divan_obs_asgi.watchdog import Watchdog, beneath, place_of, starved
from tests.logs.root_logger import root_logger_kept
from tests.patience import PATIENCE_S
from tests.stacks import BACKENDS, Observed, run_on

SECRET = "hunter2"
STALLS = "divan_event_loop_stalls_total"


class Watched(Observed):
    """An `Observability`, and a watchdog that is not patient."""

    def __init__(self) -> None:
        super().__init__()
        self.obs.log.install()
        self.watchdog = Watchdog(self.obs.metrics, self.obs.faults, stall_s=0.05, interval_s=0.01)

    def told(self, where: str = "Watched.hold_up_the_loop") -> list[dict[str, object]]:
        """Return the lines about one place: a busy machine may hold up the loop anywhere."""
        lines = [line for line in self.lines() if line["logger"] == "divan_obs_asgi.watchdog"]
        return [line for line in lines if where in str(line["blocked_at"])]

    def hold_up_the_loop(self, password: str = SECRET) -> None:
        """Block for longer than the watchdog likes."""
        time.sleep(0.2)

    def run(self, backend: str, act: Callable[[], None], done: Callable[[], bool]) -> None:
        """Let `act` do its work in the loop, again where the watchdog was held up himself, until `done`."""

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
def watched() -> Iterator[Watched]:
    with root_logger_kept():
        yield Watched()


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_code_that_blocks_is_named(watched: Watched, backend: str) -> None:
    """By file, line and function, on every event loop; not by a value that it works on."""
    watched.run(backend, watched.hold_up_the_loop, lambda: bool(watched.told()))
    assert watched.value(STALLS) >= 1
    (line,) = watched.told()
    assert line["level"] == "WARNING"
    place = str(line["blocked_at"])
    assert place.startswith("tests/test_watchdog.py:")
    assert place.endswith("Watched.hold_up_the_loop")
    assert re.match(r"The event loop was blocked for \d+\.\d{3} s at ", str(line["msg"]))
    assert place in str(line["msg"])
    blocked_ms, stack = line["blocked_ms"], line["blocked_stack"]
    assert isinstance(blocked_ms, int)
    assert blocked_ms >= 50
    assert isinstance(stack, list)
    assert any("Watched.hold_up_the_loop" in frame for frame in stack)
    assert SECRET not in watched.stream.getvalue().decode()


def test_the_application_is_named_and_not_the_library_in_which_it_waits(watched: Watched) -> None:
    """The innermost frame is `json`'s, which its author cannot change."""

    def encode() -> None:
        end = time.monotonic() + 0.2
        while time.monotonic() < end:
            json.loads("[" * 500 + "]" * 500)

    watched.run("asyncio", encode, lambda: bool(watched.told(".encode")))


@pytest.mark.parametrize("backend", ["asyncio", "uvloop"])
def test_who_runs_the_loop_is_not_to_blame(watched: Watched, backend: str) -> None:
    """Where a library alone blocks, by itself, it is named, and not the program that started the loop."""

    def seen() -> bool:
        # Time and again: on a busy machine the watchdog may be too late itself to judge.
        if not watched.told("Condition.wait"):
            asyncio.get_running_loop().call_soon(threading.Event().wait, 0.3)
        return bool(watched.told("Condition.wait"))

    watched.run(backend, lambda: None, seen)
    (line,) = watched.told("Condition.wait")
    assert str(line["blocked_at"]).startswith("threading.py:")
    assert "test_watchdog" not in str(line["blocked_stack"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_loop_that_has_nothing_to_do_is_not_to_blame(backend: str) -> None:
    """It waits for the processor, which other threads and processes have: no place of its own is told."""
    found: SimpleQueue[tuple[int, int]] = SimpleQueue()

    async def idle() -> None:
        with anyio.move_on_after(30):
            for _ in range(2):
                await anyio.sleep(0.001)
                found.put((threading.get_ident(), beneath()))
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


def test_a_place_is_told_once_a_minute_and_counted_each_time(watched: Watched) -> None:
    """A service that blocks all the time does not drown its own log."""
    watched.run("asyncio", watched.hold_up_the_loop, lambda: bool(watched.told()))
    watched.run("asyncio", watched.hold_up_the_loop, lambda: watched.value(STALLS) >= 2)
    assert len(watched.told()) == 1


def test_the_lag_is_measured_all_the_time(watched: Watched) -> None:
    """Also where nothing stalls, so that a distribution can be told; blocking shows in it."""
    count, total = (f"divan_event_loop_lag_seconds_{part}" for part in ("count", "sum"))
    watched.run("asyncio", lambda: time.sleep(0.1), lambda: watched.value(count) > 10)
    assert watched.value(total) > 0.05


def test_who_woke_up_late_himself_does_not_judge() -> None:
    """A process that stood still as a whole has no code to blame."""
    assert not starved(now=10.1, look_at=10.0, stall_s=0.2)
    assert starved(now=10.3, look_at=10.0, stall_s=0.2)


def test_it_runs_with_the_application_unless_switched_off() -> None:
    """OBS_WATCHDOG_ENABLED=false takes the task and its thread away."""
    count = "divan_event_loop_lag_seconds_count"

    on, off = Observed(), Observed({"OBS_WATCHDOG_ENABLED": "false"})

    async def live() -> None:
        async with on.obs.running(), off.obs.running():
            with anyio.fail_after(PATIENCE_S):
                while not on.value(count):  # noqa: ASYNC110 - it sets no event
                    await anyio.sleep(0.01)

    anyio.run(live)
    assert off.value(count) == 0
