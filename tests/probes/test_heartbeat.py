"""The heartbeat of the event loop, as /health/live reports it."""

from __future__ import annotations

import anyio
import anyio.abc
import anyio.lowlevel
import pytest

import divan_obs_asgi as obs
from divan_obs_asgi.probes import HeartbeatProbe
from tests.stacks import BACKENDS, Observed, run_on


class Clock:
    """Time that passes only when a test sets it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def first_beat(heart: HeartbeatProbe, tasks: anyio.abc.TaskGroup) -> None:
    tasks.start_soon(heart.run)
    await anyio.lowlevel.checkpoint()
    await anyio.wait_all_tasks_blocked()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_recent_beat_passes(backend: str) -> None:
    """Up to ten seconds old."""
    clock = Clock()
    heart = HeartbeatProbe(clock)

    async def lives() -> None:
        async with anyio.create_task_group() as tasks:
            await first_beat(heart, tasks)
            assert await heart.check() == {}
            clock.now += 10.0
            assert await heart.check() == {}
            tasks.cancel_scope.cancel()

    run_on(backend, lives)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_old_beat_fails(backend: str) -> None:
    """More than ten seconds without a beat means a stuck process, which a restart repairs."""
    clock = Clock()
    heart = HeartbeatProbe(clock)

    async def gets_stuck() -> None:
        async with anyio.create_task_group() as tasks:
            await first_beat(heart, tasks)
            clock.now += 10.1
            with pytest.raises(obs.ProbeFailed, match=r"^timeout$"):
                await heart.check()
            tasks.cancel_scope.cancel()

    run_on(backend, gets_stuck)


def test_without_beats_it_passes() -> None:
    """A server without lifespan never starts the task, and must not be restarted for that."""
    assert anyio.run(HeartbeatProbe(Clock()).check) == {}


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_stopped_heartbeat_passes(backend: str) -> None:
    """After the end of the application the last beat is forgotten."""
    clock = Clock()
    heart = HeartbeatProbe(clock)

    async def ends() -> None:
        async with anyio.create_task_group() as tasks:
            await first_beat(heart, tasks)
            tasks.cancel_scope.cancel()
        clock.now += 3600.0
        assert await heart.check() == {}

    run_on(backend, ends)


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_beats_while_the_application_lives(backend: str) -> None:
    """`running()` starts the heartbeat, and stops it again."""
    observed = Observed()

    async def lives() -> obs.probes.Report:
        async with observed.obs.running():
            await anyio.wait_all_tasks_blocked()
            return await observed.obs.probes.ask("live")

    assert run_on(backend, lives).checks["heartbeat"]["ok"] is True
