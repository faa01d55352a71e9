"""How long a request has waited, by cause."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Literal, TypeAlias

Cause: TypeAlias = Literal["sql", "redis", "http", "pool", "thread", "loop", "gc", "cpu"]


class WaitTimes:
    """
    Seconds that one request has waited, by cause.

    Waits may overlap (`asyncio.gather`). Every moment counts for one cause, the one that began last of those that last
    then, so that the sum never exceeds the duration of the request.

    Attributes:
        counts: the number of waits of each cause.
        seconds: the time of each cause.
    """

    __slots__ = ("_clock", "_open", "_since", "counts", "seconds")

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        self._open: list[Cause] = []
        self._since = 0.0
        self.counts: dict[Cause, int] = {}
        self.seconds: dict[Cause, float] = {}

    def begin(self, cause: Cause) -> None:
        """Note that a wait begins; `end` must follow."""
        self._charge()
        self._open.append(cause)
        self.counts[cause] = self.counts.get(cause, 0) + 1

    def end(self, cause: Cause) -> None:
        """Note that a wait of this cause has ended."""
        self._charge()
        self._open.remove(cause)

    def _charge(self) -> None:
        now = self._clock()
        if self._open:
            cause = self._open[-1]
            self.seconds[cause] = self.seconds.get(cause, 0.0) + now - self._since
        self._since = now


__all__ = ["Cause", "WaitTimes"]
