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
# Of one request; more of them are added up at once.
_MAX_NOTES = 1000
# What to do, with which argument; the time; what `pauses.total_s` was; seconds for which the loop was held until then.
_Note: TypeAlias = "tuple[Callable[[WaitTimes, Any], None], Any, float, float, float]"


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


def _noting(what: Callable[[WaitTimes, Any], None]) -> Callable[..., None]:
    """
    Return the method that notes `what`, which is done when the times are added up.

    A function for each kind of note: a request makes some thirty notes, and a shared one would double their calls.
    """

    def note(times: WaitTimes, about: Any = "cpu") -> None:
        if times._stopped:
            return
        now = times._clock()
        holds, notes = times._holds, times._notes
        # Read here and not by a method: a call would cost as much as all the rest.
        is_held = holds is not None and (now > holds.late_from or holds.held_to > times._noted)
        notes.append((what, about, now, pauses.total_s, times._held(now) if is_held else 0.0))
        times._noted = now
        if len(notes) >= _MAX_NOTES and get_ident() == times._thread:
            times._add_up()

    return note


class WaitTimes:
    """
    Seconds that one request has waited, by cause.

    Waits may overlap (`asyncio.gather`) and begin or end in any thread. Every moment counts for one cause, the one that
    began last of those that last then, so that the sum never exceeds the duration of the request. A step of the
    request's own task is a wait too, for the processor. What the garbage collector takes counts for it alone.

    A wait is noted when it happens and added up when somebody asks: most requests are neither slow nor failed.

    Args:
        clock: seconds, monotonic.
        since: when the request began; None for now.
        paused_s: what `pauses.total_s` was then.
        holds: what is known about the event loop of the request, if it has one.
        running: whether the request's own task runs at this moment, and has run since it began.
    """

    __slots__ = (
        "_clock",
        "_counts",
        "_holds",
        "_noted",
        "_notes",
        "_open",
        "_paused_s",
        "_seconds",
        "_since",
        "_stopped",
        "_thread",
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
        self._since = self._noted = clock() if since is None else since
        self._paused_s = pauses.total_s if paused_s is None else paused_s
        self._holds = holds
        self._thread = get_ident()
        self._stopped = False
        self._notes: deque[_Note] = deque()
        self._counts: dict[Cause, int] = {}
        self._seconds: dict[Cause, float] = {}

    # Any thread may note something, because `deque.append` is atomic. One thread at a time adds up.

    def _begin(self, cause: Cause) -> None:
        self._open.append(cause)
        self._counts[cause] = self._counts.get(cause, 0) + 1

    def _end(self, cause: Cause) -> None:
        """Remove the wait of this cause that began last."""
        opened = self._open
        for index in range(len(opened) - 1, -1, -1):
            if opened[index] == cause:
                del opened[index]
                return

    def _resume(self, cause: Cause) -> None:
        self._open.append(cause)

    def _enter(self, call: ThreadCall) -> None:
        self._end("thread")
        call.other_s = self._seconds.get("other", 0.0)

    def _leave(self, call: ThreadCall) -> None:
        moved = min(call.cpu_s, self._seconds.get("other", 0.0) - call.other_s)
        if moved > 0.0:
            self._add("cpu", moved)
            self._add("other", -moved)

    # Note that a wait of a cause begins; `end` must follow.
    begin = _noting(_begin)
    # Note that a wait of a cause has ended; does nothing where none has begun.
    end = _noting(_end)
    # Note that the request's own task runs again.
    resume = _noting(_resume)
    _note_enter = _noting(_enter)
    _note_leave = _noting(_leave)

    def suspend(self) -> None:
        """Note that the request's own task waits from now on."""
        now = self._clock()
        holds = self._holds
        if holds is not None:
            holds.wanted_from = now
            if not holds.due:
                holds.schedule(now)
        if not self._stopped:
            self._noted = now
            # While the task ran it did not wait for the loop.
            self._notes.append((WaitTimes._end, "cpu", now, pauses.total_s, 0.0))

    def enter_thread(self) -> ThreadCall:
        """Note that a function of the request has got its thread; pass what this returns to `leave_thread`."""
        call = ThreadCall()
        self._note_enter(call)
        return call

    def leave_thread(self, call: ThreadCall, cpu_s: float) -> None:
        """
        Note that the function has ended.

        Args:
            cpu_s: the processor time that it has used. It is taken from the time that has no other cause.
        """
        call.cpu_s = cpu_s
        self._note_leave(call)

    def stop(self, at: float | None = None) -> None:
        """The request has ended; what happens later is no longer measured. A wait that lasts then ends with it."""
        now = self._clock() if at is None else at
        self._add_up()
        self._charge(now, pauses.total_s, self._held(now))
        self._stopped = True

    def forget(self) -> None:
        """The request has ended, and nobody will ask what it has waited for."""
        self._stopped = True
        self._notes.clear()

    @property
    def counts(self) -> Mapping[Cause, int]:
        """The number of waits of each cause."""
        self._add_up()
        return self._counts

    @property
    def seconds(self) -> Mapping[Cause, float]:
        """The time of each cause."""
        self._add_up()
        return self._seconds

    def _held(self, now: float) -> float:
        return 0.0 if self._holds is None else self._holds.just_before(now, self._noted)

    def _add_up(self) -> None:
        notes = self._notes
        while notes:
            what, about, now, paused_s, held_s = notes.popleft()
            self._charge(now, paused_s, held_s)
            what(self, about)

    def _charge(self, now: float, paused_s: float, held_s: float) -> None:
        """Charge the time since the last note to the wait that began last."""
        lasted = now - self._since
        if lasted <= 0.0 or self._stopped:
            return
        self._since = now
        if paused_s != self._paused_s:
            in_gc = min(max(0.0, paused_s - self._paused_s), lasted)
            self._paused_s = paused_s
            self._add("gc", in_gc)
            lasted -= in_gc
        # The task was suspended, and while others held the loop nobody could notice that its wait was over.
        if held_s and "cpu" not in self._open:
            held_s = min(held_s, lasted)
            self._add("loop", held_s)
            lasted -= held_s
        self._add(self._open[-1] if self._open else "other", lasted)

    def _add(self, cause: Cause, seconds: float) -> None:
        self._seconds[cause] = self._seconds.get(cause, 0.0) + seconds

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
