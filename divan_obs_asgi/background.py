"""What runs beside the application: from before its start to after its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

import anyio

from divan_obs_asgi.faults import Faults, ends_the_caller

Run: TypeAlias = Callable[[], Awaitable[object]]
Stop: TypeAlias = Callable[[], Awaitable[None]]


class Background:
    """
    The library's own tasks; they start and end with the application.

    A name tells what a task is for, and several may have the same: two Socket.IO servers have one each. One that
    raises is reported under its name and has ended; the others, and the application, go on. One that returns has ended.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._runs: list[tuple[str, Run]] = []
        self._is_running = False
        self._when_started: list[tuple[str, Callable[[], object]]] = []

    def add(self, name: str, run: Run) -> None:
        """Have `run` called when the application starts, and cancelled when it has ended."""
        self._runs.append((name, run))

    def when_started(self, name: str, call: Callable[[], object]) -> None:
        """Have `call` called when the application has started, before its first request; it is not to take long."""
        self._when_started.append((name, call))

    def tell_started(self) -> None:
        """Call these."""
        for name, call in self._when_started:
            try:
                call()
            except Exception as error:
                self._faults.report(name, error)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Stop]:
        """
        Run all of them, until the block is left.

        Within such a block another one runs nothing: they run already, where an application is wrapped twice.

        Yields:
            what ends them before, and returns when they have; for who has to wait for that within the block.
        """
        if self._is_running:
            yield _nothing
            return
        self._is_running = True
        try:
            async with self._tasks_running() as stop:
                yield stop
        finally:
            self._is_running = False

    @asynccontextmanager
    async def _tasks_running(self) -> AsyncIterator[Stop]:
        scope, ended = anyio.CancelScope(), anyio.Event()

        async def stop() -> None:
            scope.cancel()
            await ended.wait()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._run_all, scope, ended)
            try:
                yield stop
            finally:
                scope.cancel()

    async def _run_all(self, scope: anyio.CancelScope, ended: anyio.Event) -> None:
        try:
            with scope:
                async with anyio.create_task_group() as tasks:
                    for name, run in self._runs:
                        tasks.start_soon(self._run, name, run, name=f"divan_obs_asgi.{name}")
        finally:
            ended.set()

    async def _run(self, name: str, run: Run) -> None:
        try:
            await run()
        except BaseException as error:
            if ends_the_caller(error):
                raise
            self._faults.report(name, error)


async def _nothing() -> None:
    """Stop what somebody else has started: it is theirs."""


__all__ = ["Background", "Run", "Stop"]
