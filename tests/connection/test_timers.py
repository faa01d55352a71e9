"""Calls and tasks beside the caller, on each event loop."""

from __future__ import annotations

from contextvars import ContextVar

import anyio
import pytest

from divan_obs_asgi.connection.timers import call_later, start_task
from tests.stacks import BACKENDS, run_on

variable: ContextVar[str] = ContextVar("variable", default="nobody's")
EACH = pytest.mark.parametrize("backend", BACKENDS)


@EACH
def test_it_is_called_in_a_while_and_without_the_callers_variables(backend: str) -> None:
    """A timer would keep what they hold."""
    found: list[str] = []

    async def main() -> None:
        called = anyio.Event()
        variable.set("the caller's")

        def call() -> None:
            found.append(variable.get())
            called.set()

        assert call_later(0.01, call) is not None
        assert not found
        await called.wait()

    run_on(backend, main)
    assert found == ["nobody's"]


@EACH
def test_what_is_cancelled_is_not_called(backend: str) -> None:
    """Also when it is cancelled twice."""
    called: list[str] = []

    async def main() -> None:
        later = anyio.Event()
        cancel = call_later(0.01, lambda: called.append("cancelled"))
        call_later(0.05, later.set)
        assert cancel is not None
        cancel()
        cancel()
        await later.wait()

    run_on(backend, main)
    assert called == []


def test_nothing_is_called_without_an_event_loop() -> None:
    """The caller is told so."""
    assert call_later(0.01, lambda: None) is None


@EACH
def test_a_task_runs_beside_the_caller_and_without_its_variables(backend: str) -> None:
    """It may wait for what the caller does."""
    found: list[str] = []

    async def main() -> None:
        go_on, ended = anyio.Event(), anyio.Event()
        variable.set("the caller's")

        async def run() -> None:
            await go_on.wait()
            found.append(variable.get())
            ended.set()

        cancel = start_task(run)
        go_on.set()
        await ended.wait()
        cancel()  # It has ended.

    run_on(backend, main)
    assert found == ["nobody's"]


@EACH
def test_a_task_can_be_cancelled(backend: str) -> None:
    """The caller goes on."""

    async def main() -> None:
        begun, ended = anyio.Event(), anyio.Event()

        async def run() -> None:
            begun.set()
            try:
                await anyio.sleep_forever()
            finally:
                ended.set()

        cancel = start_task(run)
        await begun.wait()
        cancel()
        await ended.wait()

    run_on(backend, main)


def test_no_task_is_started_without_an_event_loop() -> None:
    """Nobody would run it."""

    async def run() -> None: ...

    with pytest.raises(RuntimeError):
        start_task(run)
