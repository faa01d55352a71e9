"""The library's own tasks live as long as the application does."""

from __future__ import annotations

import asyncio
import threading
from functools import partial

import anyio
import anyio.to_thread
import pytest

from divan_obs_asgi.internal_errors import InternalErrors
from divan_obs_asgi.lifecycle.background import Background
from tests.patience import PATIENCE_S
from tests.stacks import BACKENDS, Observed, run_on


async def watch(told: list[str]) -> None:
    told.append("starts")
    try:
        await anyio.sleep_forever()
    finally:
        told.append("ends")


def test_tasks_start_with_the_application_and_end_with_it() -> None:
    """None of them outlives it."""
    told: list[str] = []

    async def live() -> None:
        background = Background(InternalErrors(told.append))
        background.add("watch", partial(watch, told))
        async with background.running():
            await anyio.wait_all_tasks_blocked()
            told.append("serves")
        told.append("has ended")

    anyio.run(live)
    assert told == ["starts", "serves", "ends", "has ended"]


def test_who_has_to_wait_for_the_end_can() -> None:
    """A server ends its process as soon as the application has ended: by then all is put away."""
    told: list[str] = []

    async def watch() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.wait_all_tasks_blocked()
            told.append("has put its things away")

    async def live() -> None:
        background = Background(InternalErrors(told.append))
        background.add("watch", watch)
        async with background.running() as stop:
            await anyio.wait_all_tasks_blocked()
            await stop()
            told.append("has stopped")
            await stop()

    anyio.run(live)
    assert told == ["has put its things away", "has stopped"]


def test_several_tasks_may_have_one_name() -> None:
    """Two Socket.IO servers of one bundle are both looked after."""
    told: list[str] = []

    async def look_after(server: str) -> None:
        told.append(server)

    async def live() -> None:
        background = Background(InternalErrors(told.append))
        for server in ("chat", "admin"):
            background.add("socketio", partial(look_after, server))
        async with background.running():
            await anyio.wait_all_tasks_blocked()

    anyio.run(live)
    assert told == ["chat", "admin"]


def test_a_life_within_a_life_starts_nothing_twice() -> None:
    """An application that is wrapped twice has two lifespans, and one set of tasks, which the outer one ends."""
    told: list[str] = []

    async def live() -> None:
        background = Background(InternalErrors(told.append))
        background.add("watch", partial(watch, told))
        for _ in range(2):
            async with background.running():
                async with background.running() as stop:
                    await anyio.wait_all_tasks_blocked()
                    await stop()
                await anyio.wait_all_tasks_blocked()
                told.append("serves")

    anyio.run(live)
    assert told == ["starts", "serves", "ends"] * 2


def test_what_waits_for_the_start_is_called_once_it_is_over() -> None:
    """All of it, also where one raises, which is counted under its name."""
    told: list[str] = []
    background = Background(InternalErrors(told.append))
    for name, raises in (("first", True), ("second", False)):
        background.when_started(name, partial(start, told, name, raises))
    assert told == []
    background.mark_started()
    assert told == ["first starts", "first", "second starts"]


def start(told: list[str], name: str, raises: bool) -> None:
    told.append(f"{name} starts")
    if raises:
        raise ValueError


def test_a_task_that_raises_takes_nobody_along() -> None:
    """It is counted under its name; the others and the application go on."""
    counted: list[str] = []
    told: list[str] = []

    async def break_down() -> None:
        raise ValueError("s3cret")

    async def live() -> None:
        gone_on = anyio.Event()

        async def go_on() -> None:
            while not counted:  # noqa: ASYNC110 - the other task says nothing
                await anyio.sleep(0.001)
            told.append("goes on")
            gone_on.set()

        background = Background(InternalErrors(counted.append))
        background.add("other", go_on)
        background.add("poller", break_down)
        async with background.running():
            with anyio.fail_after(PATIENCE_S):
                await gone_on.wait()
            told.append("serves")

    anyio.run(live)
    assert counted == ["poller"]
    assert told == ["goes on", "serves"]


def test_nor_does_one_that_waits_for_what_was_cancelled() -> None:
    """The cancellation is the other task's: probes and drain go on."""
    counted: list[str] = []

    async def poll() -> None:
        connection = asyncio.create_task(anyio.sleep_forever())
        await anyio.wait_all_tasks_blocked()
        connection.cancel()
        await connection

    async def live() -> None:
        background = Background(InternalErrors(counted.append))
        background.add("poller", poll)
        background.add("probes", anyio.sleep_forever)
        async with background.running():
            while not counted:  # noqa: ASYNC110 - nobody sets an event
                await anyio.sleep(0.001)
            await anyio.wait_all_tasks_blocked()
            names = {task.name for task in anyio.get_running_tasks()}
            assert "divan_obs_asgi.probes" in names
            assert "divan_obs_asgi.poller" not in names

    anyio.run(live)
    assert counted == ["poller"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_end_waits_for_no_thread_of_the_application(backend: str) -> None:
    """Its plain functions may hold all the threads that frameworks hand out; what is queued is written all the same."""
    observed = Observed()
    release = threading.Event()

    async def end() -> None:
        async def hold() -> None:
            await anyio.to_thread.run_sync(release.wait)

        anyio.to_thread.current_default_thread_limiter().total_tokens = 1
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hold)
            await anyio.wait_all_tasks_blocked()
            ended = anyio.Event()

            async def flush() -> None:
                await observed.obs.rest_in_thread()
                ended.set()

            tasks.start_soon(flush)
            try:
                with anyio.fail_after(PATIENCE_S):
                    await ended.wait()
            finally:
                release.set()

    run_on(backend, end)


def test_what_nobody_waits_for_is_not_begun_in_a_short_life() -> None:
    """An application that is made for a test, and serves one request, ends before."""
    told: list[str] = []

    async def note(what: str) -> None:
        told.append(what)
        await anyio.sleep_forever()

    async def live(*, until: list[str]) -> None:
        background = Background(InternalErrors(lambda component: None))
        background.add("reports", partial(note, "reports"), later=True)
        background.add("signals", partial(note, "signals"))
        async with background.running():
            while told != until:  # noqa: ASYNC110 - nobody sets an event
                await anyio.sleep(0.001)

    anyio.run(partial(live, until=["signals"]))
    told.clear()
    anyio.run(partial(live, until=["signals", "reports"]))
