"""When tasks have held an asyncio event loop, so that nobody else could run."""

from __future__ import annotations

import threading
import weakref
from asyncio import AbstractEventLoop, _get_running_loop
from collections.abc import Callable
from contextvars import Context
from math import inf
from time import perf_counter

# Seconds between two beats. A hold is measured from the beat that it delays, so that it is seen shorter by up to this.
_PERIOD_S = 0.01
# A timer may be late by this without a hold.
_LATE_S = 0.002
# A request that goes on so soon after a hold has been waiting for its end.
_SOON_S = 0.005
# Beats go on this long after the last wait: a new timer for each request would cost more.
_LINGER_S = 1.0

_of_thread = threading.local()


class LoopHolds:
    """
    Finds the times in which one event loop ran no timers: its tasks, or other processes, had the processor.

    A timer that is due every hundredth of a second shows it, while there are requests that wait. This works with any
    loop of asyncio, and costs a waiting request nothing.

    Attributes:
        due: when the timer is due; 0 while there is none.
        late_from: a timer that has not run by then is late.
        held_to: the end of the last hold.
        wanted_from: when a request has last begun to wait.
    """

    def __init__(self, loop: AbstractEventLoop, clock: Callable[[], float] = perf_counter) -> None:
        # The timers of a loop hold this object.
        self._loop = weakref.ref(loop)
        self._clock = clock
        self.due = self.wanted_from = 0.0
        self.late_from = inf
        self._held_from = self.held_to = 0.0

    def belongs_to(self, loop: AbstractEventLoop) -> bool:
        return self._loop() is loop

    def just_before(self, now: float, since: float) -> float:
        """Return how many of the seconds between `since` and `now` the loop was held, if it was until just now."""
        held = 0.0
        if self.due and now - self.due > _LATE_S:
            # The timer has not even run yet.
            held = now - max(self.due, since)
        if self.held_to and now - max(held, 0.0) - self.held_to < _SOON_S:
            held = max(0.0, held) + max(0.0, self.held_to - max(self._held_from, since))
        return max(0.0, held)

    def schedule(self, now: float) -> None:
        """Start the timer, because a request waits."""
        loop = self._loop()
        if loop is not None and not loop.is_closed():
            self.due = now + _PERIOD_S
            self.late_from = self.due + _LATE_S
            # In a context of its own: the timer would keep the variables of the request.
            loop.call_later(_PERIOD_S, self._beat, context=Context())

    def _beat(self) -> None:
        now, due, self.due, self.late_from = self._clock(), self.due, 0.0, inf
        if now - due > _LATE_S:
            self._held_from, self.held_to = due, now
        if now < self.wanted_from + _LINGER_S:
            self.schedule(now)


def holds_here() -> LoopHolds | None:
    """Return what is known about the event loop of this thread; None outside of asyncio."""
    loop = _get_running_loop()
    if loop is None:
        return None
    known: LoopHolds | None = getattr(_of_thread, "holds", None)
    if known is None or not known.belongs_to(loop):
        known = _of_thread.holds = LoopHolds(loop)
    return known


__all__ = ["LoopHolds", "holds_here"]
