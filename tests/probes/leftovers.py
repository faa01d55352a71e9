"""What a check may have left behind in this process."""

from __future__ import annotations

import asyncio
from typing import NamedTuple, Self

import anyio

from tests.servers.process import sockets


class Open(NamedTuple):
    """How many tasks and sockets there are."""

    tasks: int
    sockets: int

    @classmethod
    def now(cls) -> Self:
        return cls(len(asyncio.all_tasks()), sockets())

    async def until_no_more(self, patience_s: float = 10.0) -> None:
        """Wait until there are no more than these: what was closed is gone a few turns of the loop later."""
        with anyio.move_on_after(patience_s):
            while not self._covers(Open.now()):  # noqa: ASYNC110 - nobody tells
                await anyio.sleep(0.01)
        assert self._covers(now := Open.now()), f"{now}, and it was {self}"

    def _covers(self, other: Open) -> bool:
        return other.tasks <= self.tasks and other.sockets <= self.sockets


__all__ = ["Open"]
