"""The library's background tasks live as long as the application does."""

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


async def record_life(calls: list[str]) -> None:
    calls.append("starts")
    try:
        await anyio.sleep_forever()
    finally:
        calls.append("ends")


def test_tasks_start_with_the_application_and_end_with_it() -> None:
    """None outlives it."""
    calls: list[str] = []

    async def live() -> None:
        background = Background(InternalErrors(calls.append))
        background.add("watch", partial(record_life, calls))
        async with background.running():
            await anyio.wait_all_tasks_blocked()
            calls.append("serves")
        calls.append("has ended")

    anyio.run(live)
    assert calls == ["starts", "serves", "ends", "has ended"]


def test_the_end_can_be_awaited() -> None:
    """A server ends its process as soon as the application has ended. The tasks must have ended before."""
    calls: list[str] = []

    async def record_life() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.wait_all_tasks_blocked()
            calls.append("has put its things away")

    async def live() -> None:
        background = Background(InternalErrors(calls.append))
        background.add("watch", record_life)
        async with background.running() as stop:
            await anyio.wait_all_tasks_blocked()
            await stop()
            calls.append("has stopped")
            await stop()

    anyio.run(live)
    assert calls == ["has put its things away", "has stopped"]


def test_several_tasks_may_have_one_name() -> None:
    """As for two Socket.IO servers of one bundle."""
    calls: list[str] = []

    async def look_after(server: str) -> None:
        calls.append(server)

    async def live() -> None:
        background = Background(InternalErrors(calls.append))
        for server in ("chat", "admin"):
            background.add("socketio", partial(look_after, server))
        async with background.running():
            await anyio.wait_all_tasks_blocked()

    anyio.run(live)
    assert calls == ["chat", "admin"]


def test_an_inner_lifespan_starts_nothing() -> None:
    """An application that is wrapped twice has two lifespans and one set of tasks. The outer lifespan ends them."""
    calls: list[str] = []

    async def live() -> None:
        background = Background(InternalErrors(calls.append))
        background.add("watch", partial(record_life, calls))
        for _ in range(2):
            async with background.running():
                async with background.running() as stop:
                    await anyio.wait_all_tasks_blocked()
                    await stop()
                await anyio.wait_all_tasks_blocked()
                calls.append("serves")

    anyio.run(live)
    assert calls == ["starts", "serves", "ends"] * 2


def test_calls_for_the_start_are_made_after_it() -> None:
    """All of them. One that raises is counted under its name."""
    calls: list[str] = []
    background = Background(InternalErrors(calls.append))
    for name, raises in (("first", True), ("second", False)):
        background.when_started(name, partial(start, calls, name, raises))
    assert calls == []
    background.mark_started()
    assert calls == ["first starts", "first", "second starts"]


def start(calls: list[str], name: str, raises: bool) -> None:
    calls.append(f"{name} starts")
    if raises:
        raise ValueError


def test_a_task_that_raises_ends_alone() -> None:
    """It is counted under its name. The other tasks and the application continue."""
    counted: list[str] = []
    calls: list[str] = []

    async def break_down() -> None:
        raise ValueError("s3cret")

    async def live() -> None:
        gone_on = anyio.Event()

        async def go_on() -> None:
            while not counted:  # noqa: ASYNC110 - the other task says nothing
                await anyio.sleep(0.001)
            calls.append("goes on")
            gone_on.set()

        background = Background(InternalErrors(counted.append))
        background.add("other", go_on)
        background.add("poller", break_down)
        async with background.running():
            with anyio.fail_after(PATIENCE_S):
                await gone_on.wait()
            calls.append("serves")

    anyio.run(live)
    assert counted == ["poller"]
    assert calls == ["goes on", "serves"]


def test_a_task_that_awaits_a_cancelled_one_ends_alone() -> None:
    """Probes and drain continue."""
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
            while not counted:  # noqa: ASYNC110 - no event is set
                await anyio.sleep(0.001)
            await anyio.wait_all_tasks_blocked()
            names = {task.name for task in anyio.get_running_tasks()}
            assert "divan_obs_asgi.probes" in names
            assert "divan_obs_asgi.poller" not in names

    anyio.run(live)
    assert counted == ["poller"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_end_waits_for_no_thread_of_the_application(backend: str) -> None:
    """Plain functions may occupy all threads of the frameworks. The queues are still written."""
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


def test_later_tasks_do_not_start_in_a_short_life() -> None:
    """An application of a test that serves one request ends before."""
    calls: list[str] = []

    async def note(what: str) -> None:
        calls.append(what)
        await anyio.sleep_forever()

    async def live(*, until: list[str]) -> None:
        background = Background(InternalErrors(lambda component: None))
        background.add("reports", partial(note, "reports"), later=True)
        background.add("signals", partial(note, "signals"))
        async with background.running():
            while calls != until:  # noqa: ASYNC110 - no event is set
                await anyio.sleep(0.001)

    anyio.run(partial(live, until=["signals"]))
    calls.clear()
    anyio.run(partial(live, until=["signals", "reports"]))
