"""Whether the event loop still turns, as /health/live asks it."""

from __future__ import annotations

import anyio
import anyio.abc
import anyio.lowlevel
import pytest

import divan_obs_asgi as obs
from divan_obs_asgi.probes import HeartbeatProbe
from tests.stacks import BACKENDS, Observed, run_on


class Clock:
    """Time that passes only where a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def first_beat(heart: HeartbeatProbe, tasks: anyio.abc.TaskGroup) -> None:
    tasks.start_soon(heart.run)
    await anyio.lowlevel.checkpoint()
    await anyio.wait_all_tasks_blocked()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_loop_that_turns_is_alive(backend: str) -> None:
    """A beat of a moment ago is enough, and so is one of ten seconds ago."""
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
def test_a_loop_that_came_round_too_late_is_not(backend: str) -> None:
    """More than ten seconds without a beat is a stuck process, which a restart cures."""
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


def test_answering_is_proof_enough_where_nothing_beats() -> None:
    """A server without lifespan never starts the task; a liveness check must not fail for that."""
    assert anyio.run(HeartbeatProbe(Clock()).check) == {}


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_stopped_heart_is_not_a_stuck_one(backend: str) -> None:
    """After the end of the application's life its last beat grows old, and nobody is to be restarted."""
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
    """`running()` starts the beat, and ends it without a trace."""
    observed = Observed()

    async def lives() -> obs.probes.Report:
        async with observed.obs.running():
            await anyio.wait_all_tasks_blocked()
            return await observed.obs.probes.ask("live")

    assert run_on(backend, lives).checks["heartbeat"]["ok"] is True
