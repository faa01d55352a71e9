"""What a check may leave behind in this process: tasks and sockets."""

from __future__ import annotations

import asyncio
from typing import NamedTuple, Self

import anyio

from tests.servers.process import sockets


class Open(NamedTuple):
    """The numbers of open tasks and sockets."""

    tasks: int
    sockets: int

    @classmethod
    def now(cls) -> Self:
        return cls(len(asyncio.all_tasks()), sockets())

    async def until_no_more(self, patience_s: float = 10.0) -> None:
        """Wait until there are not more than these. A closed one disappears a few steps of the loop later."""
        with anyio.move_on_after(patience_s):
            while not self._covers(Open.now()):  # noqa: ASYNC110 - no event is set
                await anyio.sleep(0.01)
        assert self._covers(now := Open.now()), f"{now} now, {self} before"

    def _covers(self, other: Open) -> bool:
        return other.tasks <= self.tasks and other.sockets <= self.sockets


__all__ = ["Open"]
