"""How long a request has waited, by cause."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from threading import get_ident
from time import perf_counter
from typing import Any, Literal, TypeAlias

from divan_obs_asgi.connection.gc_pauses import pauses
from divan_obs_asgi.connection.loop_holds import LoopHolds

Cause: TypeAlias = Literal["sql", "redis", "http", "pool", "thread", "loop", "gc", "cpu", "other"]

CAUSES: tuple[Cause, ...] = ("sql", "redis", "http", "pool", "thread", "loop", "gc", "cpu", "other")
# The calls that a request makes: their number is shown, too.
CALLS: tuple[Cause, ...] = ("sql", "redis", "http")
# These are shown where they are not zero.
_RARE: tuple[Cause, ...] = ("pool", "thread")


class ThreadCall:
    """
    A function that a request runs in a thread.

    Attributes:
        other_s: the time without a cause, when the function got its thread.
        cpu_s: the processor time that it has used.
    """

    __slots__ = ("cpu_s", "other_s")

    def __init__(self) -> None:
        self.other_s = self.cpu_s = 0.0


class WaitTimes:
    """
    Seconds that one request has waited, by cause.

    Waits may overlap (`asyncio.gather`) and begin or end in any thread. Every moment counts for one cause, the one that
    began last of those that last then, so that the sum never exceeds the duration of the request. A step of the
    request's own task is a wait too, for the processor. What the garbage collector takes counts for it alone.

    Args:
        clock: seconds, monotonic.
        since: when the request began; None for now.
        paused_s: what `pauses.total_s` was then.
        holds: what is known about the event loop of the request, if it has one.
        running: whether the request's own task runs at this moment, and has run since it began.

    Attributes:
        counts: the number of waits of each cause.
        seconds: the time of each cause.
    """

    __slots__ = (
        "_clock",
        "_from_threads",
        "_holds",
        "_open",
        "_paused_s",
        "_since",
        "_stopped",
        "_thread",
        "counts",
        "seconds",
    )

    def __init__(
        self,
        clock: Callable[[], float] = perf_counter,
        since: float | None = None,
        paused_s: float | None = None,
        holds: LoopHolds | None = None,
        *,
        running: bool = False,
    ) -> None:
        self._clock = clock
        self._open: list[Cause] = ["cpu"] if running else []
        self._since = clock() if since is None else since
        self._paused_s = pauses.total_s if paused_s is None else paused_s
        self._holds = holds
        self._thread = get_ident()
        self._stopped = False
        self._from_threads: deque[tuple[Callable[[Any, float], None], Any, float]] = deque()
        self.counts: dict[Cause, int] = {}
        self.seconds: dict[Cause, float] = {}

    # One thread keeps the account. Another one puts what it notes into a queue, with the time, and the first one reads
    # that before it notes something. A lock would cost more than all the rest, and few requests need it.

    def begin(self, cause: Cause) -> None:
        """Note that a wait begins; `end` must follow."""
        now = self._clock()
        if get_ident() != self._thread:
            self._from_threads.append((self._begin, cause, now))
            return
        if self._from_threads:
            self._read_threads()
        self._begin(cause, now)

    def end(self, cause: Cause) -> None:
        """Note that a wait of this cause has ended; does nothing where none has begun."""
        now = self._clock()
        if get_ident() != self._thread:
            self._from_threads.append((self._end, cause, now))
            return
        if self._from_threads:
            self._read_threads()
        self._end(cause, now)

    def suspend(self) -> None:
        """Note that the request's own task waits from now on."""
        now = self._clock()
        holds = self._holds
        if holds is not None:
            holds.wanted_from = now
            if not holds.due:
                holds.schedule(now)
        if get_ident() != self._thread:
            self._from_threads.append((self._end, "cpu", now))
            return
        if self._from_threads:
            self._read_threads()
        self._end("cpu", now)

    def resume(self) -> None:
        """Note that the request's own task runs again."""
        now = self._clock()
        if get_ident() != self._thread:
            self._from_threads.append((self._resume, "cpu", now))
            return
        if self._from_threads:
            self._read_threads()
        self._charge(now)
        self._open.append("cpu")

    def enter_thread(self) -> ThreadCall:
        """Note that a function of the request has got its thread; pass what this returns to `leave_thread`."""
        call = ThreadCall()
        self._from_threads.append((self._enter, call, self._clock()))
        return call

    def leave_thread(self, call: ThreadCall, cpu_s: float) -> None:
        """
        Note that the function has ended.

        Args:
            cpu_s: the processor time that it has used. It is taken from the time that has no other cause.
        """
        call.cpu_s = cpu_s
        self._from_threads.append((self._leave, call, self._clock()))

    def stop(self, at: float | None = None) -> None:
        """The request has ended; what happens later is no longer measured. A wait that lasts then ends with it."""
        now = self._clock() if at is None else at
        self._read_threads()
        self._charge(now)
        self._stopped = True

    def _read_threads(self) -> None:
        waiting = self._from_threads
        while waiting:
            note, what, now = waiting.popleft()
            note(what, now)

    def _begin(self, cause: Cause, now: float) -> None:
        if self._stopped:
            return
        self._charge(now)
        self._open.append(cause)
        counts = self.counts
        counts[cause] = counts.get(cause, 0) + 1

    def _end(self, cause: Cause, now: float) -> None:
        self._charge(now)
        opened = self._open
        if opened and opened[-1] == cause:
            opened.pop()
        else:
            self._close(cause)

    def _resume(self, cause: Cause, now: float) -> None:
        self._charge(now)
        self._open.append(cause)

    def _enter(self, call: ThreadCall, now: float) -> None:
        self._end("thread", now)
        call.other_s = self.seconds.get("other", 0.0)

    def _leave(self, call: ThreadCall, now: float) -> None:
        self._charge(now)
        moved = min(call.cpu_s, self.seconds.get("other", 0.0) - call.other_s)
        if moved > 0.0 and not self._stopped:
            self._add("cpu", moved)
            self._add("other", -moved)

    def _close(self, cause: Cause) -> None:
        """Remove the wait of this cause that began last."""
        opened = self._open
        for index in range(len(opened) - 1, -1, -1):
            if opened[index] == cause:
                del opened[index]
                return

    def _charge(self, now: float) -> None:
        since = self._since
        lasted = now - since
        if lasted <= 0.0 or self._stopped:
            return
        self._since = now
        # A request of twenty calls comes here a hundred times, and nearly always nothing else has happened.
        if pauses.total_s != self._paused_s:
            lasted -= self._charge_pauses(lasted)
        cause: Cause = "other"
        seconds = self.seconds
        if opened := self._open:
            cause = opened[-1]
        holds = self._holds
        # Read here and not by a method: a call would cost as much as all the rest.
        if holds is not None and (now > holds.late_from or holds.held_to > since) and "cpu" not in opened:
            # The task was suspended, and while others held the loop nobody could notice that its wait was over.
            held = min(holds.just_before(now, since), lasted)
            if held:
                self._add("loop", held)
                lasted -= held
        seconds[cause] = seconds.get(cause, 0.0) + lasted

    def _charge_pauses(self, lasted: float) -> float:
        """Charge what the garbage collector took of this time; return it."""
        paused_s = pauses.total_s
        in_gc = min(max(0.0, paused_s - self._paused_s), lasted)
        self._paused_s = paused_s
        self._add("gc", in_gc)
        return in_gc

    def _add(self, cause: Cause, seconds: float) -> None:
        self.seconds[cause] = self.seconds.get(cause, 0.0) + seconds

    def in_all(self, duration_s: float) -> dict[Cause, float]:
        """Return the seconds of each cause, which add up to the duration; only after `stop`."""
        seconds = dict(self.seconds)
        rest = duration_s - sum(seconds.values())
        seconds["other"] = max(0.0, seconds.get("other", 0.0) + rest)
        return seconds


def shown(counts: Mapping[Cause, int], seconds: Mapping[Cause, float]) -> dict[str, object]:
    """Return the field of the log line: calls with their number, everything else in milliseconds."""
    line: dict[str, object] = {}
    for cause in CAUSES:
        ms = round(seconds.get(cause, 0.0) * 1e3, 1)
        if cause in CALLS:
            if counts.get(cause):
                line[cause] = {"n": counts[cause], "ms": ms}
        elif ms or cause not in _RARE:
            line[f"{cause}_ms"] = ms
    return line


__all__ = ["CALLS", "CAUSES", "Cause", "ThreadCall", "WaitTimes", "shown"]
