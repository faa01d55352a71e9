"""What runs beside the application: from before its start to after its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

import anyio

from divan_obs_asgi.faults import Faults

Run: TypeAlias = Callable[[], Awaitable[object]]


class Background:
    """
    The library's own tasks, each under a name; they start and end with the application.

    One that raises is reported under its name and has ended; the others, and the application, go on. One that returns
    has ended.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._runs: dict[str, Run] = {}

    def add(self, name: str, run: Run) -> None:
        """Have `run` called when the application starts, and cancelled when it has ended."""
        self._runs[name] = run

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run all of them, until the block is left."""
        async with anyio.create_task_group() as tasks:
            for name, run in self._runs.items():
                tasks.start_soon(self._run, name, run, name=f"divan_obs_asgi.{name}")
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()

    async def _run(self, name: str, run: Run) -> None:
        try:
            await run()
        except Exception as error:
            self._faults.report(name, error)


__all__ = ["Background", "Run"]
