"""The library's background tasks: from before the application's start to after its end."""

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

from divan_obs_asgi.internal_errors import InternalErrors, must_propagate

Run: TypeAlias = Callable[[], Awaitable[object]]
Stop: TypeAlias = Callable[[], Awaitable[None]]

# Seconds after the application's start at which the tasks with `later` start.
LATER_S = 0.1


class Background:
    """
    The library's own tasks. They start and end with the application.

    A task's name says what it is for. Several may have the same name: two Socket.IO servers have one task each. A task
    that raises is reported under its name and ends; the other tasks and the application continue.
    """

    def __init__(self, faults: InternalErrors) -> None:
        self._faults = faults
        self._runs: list[tuple[str, Run]] = []
        self._later: list[tuple[str, Run]] = []
        self._runs_on: object = None
        self._alone: _LoneTask | None = None
        self._when_started: list[tuple[str, Callable[[], object]]] = []
        self._starting = False

    def is_starting(self) -> bool:
        """Return whether the application is starting. Without a lifespan this is never true."""
        return self._starting

    def mark_starting(self) -> None:
        """Note that the application's own start-up begins."""
        self._starting = True

    def add(self, name: str, run: Run, *, later: bool = False) -> None:
        """
        Run `run` as a task when the application starts, and cancel it when the application has ended.

        Args:
            later: start it a moment after the others, because it is not urgent. An application that lives for one
                request only, as in a test, never starts it.
        """
        (self._later if later else self._runs).append((name, run))

    def when_started(self, name: str, call: Callable[[], object]) -> None:
        """Call `call` when the application has started, before its first request. It must be quick."""
        self._when_started.append((name, call))

    def mark_started(self) -> None:
        """Note that the application has started, and make the calls of `when_started`."""
        self._starting = False
        for name, call in self._when_started:
            try:
                call()
            except Exception as error:
                self._faults.report(name, error)

    def run_alone(
        self, owner: object, running: AbstractAsyncContextManager[object], at_end: Callable[[], Awaitable[object]]
    ) -> None:
        """Keep `running` entered in a task, until the event loop or `owner` ends, or `end_alone` is called."""
        self._starting = False
        alone = _LoneTask(owner)
        self._alone = alone
        _start_task(partial(alone.run, running, at_end))

    async def end_alone(self) -> None:
        """End what `run_alone` has started in this event loop."""
        alone, self._alone = self._alone, None
        if alone is not None:
            await alone.end()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Stop]:
        """
        Run all tasks until the block is left.

        A second block inside of the first one runs nothing. An application that is wrapped twice has two.

        Yields:
            a function that ends the tasks before the end of the block, and returns when they have ended.
        """
        if self._runs_on is not None and not _is_closed(self._runs_on):
            yield _stop_nothing
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

        # Not in a task group of this task, because leaving one takes a step of the event loop. After
        # `lifespan.startup.failed` hypercorn checks at once whether the application has ended, and otherwise serves on.
        _start_task(partial(self._run_all, scope, ended))
        try:
            # They start before the application, so that a signal right after its start finds the drain ready.
            await _until_started()
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
                    # Tasks from here on, and not only after the pause: a task that is created in the event loop's last
                    # step leaves a coroutine that was never awaited, and a warning.
                    for name, run in self._later:
                        tasks.start_soon(self._run_later, name, run, name=f"divan_obs_asgi.{name}")
        finally:
            ended.set()

    async def _run(self, name: str, run: Run) -> None:
        try:
            await run()
        except BaseException as error:
            if must_propagate(error):
                raise
            self._faults.report(name, error)

    async def _run_later(self, name: str, run: Run) -> None:
        await anyio.sleep(LATER_S)
        await self._run(name, run)


class _LoneTask:
    """Keeps a context entered until the owner or the event loop ends."""

    def __init__(self, owner: object) -> None:
        self._scope = anyio.CancelScope()
        self._ended = anyio.Event()
        self._loop = _loop()
        self._owner = weakref.ref(owner, self._owner_ended)

    def _owner_ended(self, owner: object) -> None:
        # Called in any thread: the one that collects garbage.
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


# asyncio keeps only weak references to tasks.
_tasks: set[asyncio.Task[None]] = set()


def _loop() -> Any:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        # Otherwise this runs on trio, which is imported then.
        return sys.modules["trio"].lowlevel.current_trio_token()


def _is_closed(loop: object) -> bool:
    """Return whether this event loop has ended, perhaps without cancelling its tasks."""
    return isinstance(loop, asyncio.AbstractEventLoop) and loop.is_closed()


def _start_task(run: Callable[[], Coroutine[Any, Any, None]]) -> None:
    loop = _loop()
    if not isinstance(loop, asyncio.AbstractEventLoop):
        sys.modules["trio"].lowlevel.spawn_system_task(run)
        return
    task = loop.create_task(run(), name="divan_obs_asgi.alone")
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


async def _until_started() -> None:
    """Wait until a new task and each task of its group have started."""
    await anyio.lowlevel.checkpoint()
    await anyio.lowlevel.checkpoint()


async def _stop_nothing() -> None:
    """Stop nothing: the tasks belong to the outer block."""


__all__ = ["LATER_S", "Background", "Run", "Stop"]
