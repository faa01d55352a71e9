"""What runs beside the application: from before its start to after its end."""

from __future__ import annotations

import asyncio
import sys
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial
from typing import Any, TypeAlias

import anyio
import anyio.lowlevel

from divan_obs_asgi.internal_errors import InternalErrors, ends_the_caller

Run: TypeAlias = Callable[[], Awaitable[object]]
Stop: TypeAlias = Callable[[], Awaitable[None]]

# Seconds after the start of the application in which what nobody waits for is not begun.
LATER_S = 0.1


class Background:
    """
    The library's own tasks; they start and end with the application.

    A name tells what a task is for, and several may have the same: two Socket.IO servers have one each. One that
    raises is reported under its name and has ended; the others, and the application, go on. One that returns has ended.
    """

    def __init__(self, faults: InternalErrors) -> None:
        self._faults = faults
        self._runs: list[tuple[str, Run]] = []
        self._later: list[tuple[str, Run]] = []
        self._runs_on: object = None
        self._alone: _Alone | None = None
        self._when_started: list[tuple[str, Callable[[], object]]] = []
        self._starting = False

    def is_starting(self) -> bool:
        """Tell whether the application is on its way to its first request; where it has no lifespan, it never is."""
        return self._starting

    def tell_starting(self) -> None:
        """Note that the application's own start begins."""
        self._starting = True

    def add(self, name: str, run: Run, *, later: bool = False) -> None:
        """
        Have `run` called when the application starts, and cancelled when it has ended.

        Args:
            later: it does something now and then that nobody waits for, and is called a moment after the others: an
                application that lives for one request, as a test's does, does without it.
        """
        (self._later if later else self._runs).append((name, run))

    def when_started(self, name: str, call: Callable[[], object]) -> None:
        """Have `call` called when the application has started, before its first request; it is not to take long."""
        self._when_started.append((name, call))

    def tell_started(self) -> None:
        """Call these."""
        self._starting = False
        for name, call in self._when_started:
            try:
                call()
            except Exception as error:
                self._faults.report(name, error)

    def run_alone(
        self, owner: object, running: AbstractAsyncContextManager[object], at_end: Callable[[], Awaitable[object]]
    ) -> None:
        """Have a task of its own leave `running` when event loop or `owner` end, or `end_alone` is called."""
        self._starting = False
        alone = _Alone(owner)
        self._alone = alone
        _start_task(partial(alone.run, running, at_end))

    async def end_alone(self) -> None:
        """End what `run_alone` has started, in this event loop."""
        alone, self._alone = self._alone, None
        if alone is not None:
            await alone.end()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Stop]:
        """
        Run all of them, until the block is left.

        Within such a block another one runs nothing: they run already, where an application is wrapped twice.

        Yields:
            what ends them before, and returns when they have; for who has to wait for that within the block.
        """
        if self._runs_on is not None and not _is_closed(self._runs_on):
            yield _nothing
            return
        self._runs_on = _loop()
        try:
            async with self._tasks_running() as stop:
                yield stop
        finally:
            self._runs_on = None

    @asynccontextmanager
    async def _tasks_running(self) -> AsyncIterator[Stop]:
        scope, ended = anyio.CancelScope(), anyio.Event()

        async def stop() -> None:
            scope.cancel()
            await ended.wait()

        # Not in a task group of this task: to leave one takes a step of the event loop, in which hypercorn, once it has
        # heard `lifespan.startup.failed`, looks whether the application has ended, and serves on where it has not.
        _start_task(partial(self._run_all, scope, ended))
        try:
            # They begin before the application does: a signal that comes as soon as it has started finds a drain.
            await _until_begun()
            yield stop
        finally:
            scope.cancel()
            if not ended.is_set():
                with anyio.CancelScope(shield=True):
                    await ended.wait()

    async def _run_all(self, scope: anyio.CancelScope, ended: anyio.Event) -> None:
        try:
            with scope:
                async with anyio.create_task_group() as tasks:
                    for name, run in self._runs:
                        tasks.start_soon(self._run, name, run, name=f"divan_obs_asgi.{name}")
                    # Tasks of their own from here on: one that an event loop ends in the very step in which it was made
                    # leaves a coroutine that was never awaited, and a warning.
                    for name, run in self._later:
                        tasks.start_soon(self._run_later, name, run, name=f"divan_obs_asgi.{name}")
        finally:
            ended.set()

    async def _run(self, name: str, run: Run) -> None:
        try:
            await run()
        except BaseException as error:
            if ends_the_caller(error):
                raise
            self._faults.report(name, error)

    async def _run_later(self, name: str, run: Run) -> None:
        await anyio.sleep(LATER_S)
        await self._run(name, run)


class _Alone:
    """Keeps a context that was entered already, until it is told to leave it."""

    def __init__(self, owner: object) -> None:
        self._scope = anyio.CancelScope()
        self._ended = anyio.Event()
        self._loop = _loop()
        self._owner = weakref.ref(owner, self._owner_ended)

    def _owner_ended(self, owner: object) -> None:
        # From whichever thread collects garbage.
        with suppress(RuntimeError):
            if isinstance(self._loop, asyncio.AbstractEventLoop):
                self._loop.call_soon_threadsafe(self._scope.cancel)
            else:
                self._loop.run_sync_soon(self._scope.cancel)

    async def run(self, running: AbstractAsyncContextManager[object], at_end: Callable[[], Awaitable[object]]) -> None:
        try:
            with self._scope:
                async with running:
                    await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await at_end()
            self._ended.set()

    async def end(self) -> None:
        if self._loop is _loop():
            self._scope.cancel()
            await self._ended.wait()


# asyncio itself keeps no task alive.
_tasks: set[asyncio.Task[None]] = set()


def _loop() -> Any:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        # anyio's other backend; it runs us, so it is imported.
        return sys.modules["trio"].lowlevel.current_trio_token()


def _is_closed(loop: object) -> bool:
    """Tell whether this event loop has ended, perhaps without a word to its tasks."""
    return isinstance(loop, asyncio.AbstractEventLoop) and loop.is_closed()


def _start_task(run: Callable[[], Coroutine[Any, Any, None]]) -> None:
    loop = _loop()
    if not isinstance(loop, asyncio.AbstractEventLoop):
        sys.modules["trio"].lowlevel.spawn_system_task(run)
        return
    task = loop.create_task(run(), name="divan_obs_asgi.alone")
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


async def _until_begun() -> None:
    """Wait until a task that was started, and each task of its group, have begun."""
    await anyio.lowlevel.checkpoint()
    await anyio.lowlevel.checkpoint()


async def _nothing() -> None:
    """Stop what somebody else has started: it is theirs."""


__all__ = ["LATER_S", "Background", "Run", "Stop"]
