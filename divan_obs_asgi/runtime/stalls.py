"""The last stalls of the event loop."""

from __future__ import annotations

import time
from collections import deque
from typing import NamedTuple

_MOST = 20


class Stall(NamedTuple):
    """
    A time for which the event loop was blocked.

    Attributes:
        number: counts the stalls of the process.
        at: Unix time of its end.
        seconds: how long it lasted.
        place: the line that blocked.
        stack: files, lines and names of functions, innermost first.
    """

    number: int
    at: float
    seconds: float
    place: str
    stack: tuple[str, ...]


class RecentStalls:
    """The last stalls, in any thread; a handful of small values."""

    def __init__(self) -> None:
        self._stalls: deque[Stall] = deque(maxlen=_MOST)
        self._count = 0

    def add(self, seconds: float, place: str, stack: tuple[str, ...]) -> None:
        """Note a stall that has ended."""
        self._count += 1
        self._stalls.append(Stall(self._count, time.time(), seconds, place, stack))

    def since(self, number: int) -> list[Stall]:
        """Return the stalls after the one with this number, the oldest first."""
        return [stall for stall in tuple(self._stalls) if stall.number > number]


__all__ = ["RecentStalls", "Stall"]
