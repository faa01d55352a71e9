"""How long a request has waited, by cause."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Lock, get_ident
from time import perf_counter
from typing import Literal, TypeAlias

from divan_obs_asgi.connection.gc_pauses import pauses
from divan_obs_asgi.connection.loop_holds import LoopHolds

Cause: TypeAlias = Literal["sql", "redis", "http", "pool", "thread", "loop", "gc", "cpu", "other"]

CAUSES: tuple[Cause, ...] = ("sql", "redis", "http", "pool", "thread", "loop", "gc", "cpu", "other")
# The calls that a request makes: their number is shown, too.
CALLS: tuple[Cause, ...] = ("sql", "redis", "http")
# These are shown where they are not zero.
_RARE: tuple[Cause, ...] = ("pool", "thread")


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
        "_holds",
        "_lock",
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
        self._lock = Lock()
        self.counts: dict[Cause, int] = {}
        self.seconds: dict[Cause, float] = {}

    def begin(self, cause: Cause) -> None:
        """Note that a wait begins; `end` must follow."""
        with self._lock:
            if not self._stopped:
                self._charge(self._clock())
                self._open.append(cause)
                self.counts[cause] = self.counts.get(cause, 0) + 1

    def end(self, cause: Cause) -> None:
        """Note that a wait of this cause has ended; does nothing where none has begun."""
        with self._lock:
            self._charge(self._clock())
            self._close(cause)

    def suspend(self) -> None:
        """Note that the request's own task waits from now on."""
        with self._lock:
            now = self._clock()
            if self._holds is not None:
                self._holds.watch(now)
            self._charge(now)
            self._close("cpu")

    def resume(self) -> None:
        """Note that the request's own task runs again."""
        with self._lock:
            self._charge(self._clock())
            self._open.append("cpu")

    def enter_thread(self) -> float:
        """Note that a function of the request has got its thread; pass what this returns to `leave_thread`."""
        self.end("thread")
        return self.seconds.get("other", 0.0)

    def leave_thread(self, other_s: float, cpu_s: float) -> None:
        """
        Note that the function has ended.

        Args:
            other_s: what `enter_thread` has returned.
            cpu_s: the processor time that it has used. It is taken from the time that has no other cause.
        """
        with self._lock:
            self._charge(self._clock())
            moved = min(cpu_s, self.seconds.get("other", 0.0) - other_s)
            if moved > 0.0 and not self._stopped:
                self._add("cpu", moved)
                self._add("other", -moved)

    def stop(self, at: float | None = None) -> None:
        """The request has ended; what happens later is no longer measured. A wait that lasts then ends with it."""
        with self._lock:
            self._charge(self._clock() if at is None else at)
            self._stopped = True

    def _close(self, cause: Cause) -> None:
        """Remove the wait of this cause that began last."""
        opened = self._open
        for index in range(len(opened) - 1, -1, -1):
            if opened[index] == cause:
                del opened[index]
                return

    def _charge(self, now: float) -> None:
        lasted = now - self._since
        if lasted <= 0.0 or self._stopped:
            return
        cause = self._open[-1] if self._open else "other"
        paused_s = pauses.total_s
        if paused_s != self._paused_s:
            in_gc = min(max(0.0, paused_s - self._paused_s), lasted)
            self._paused_s = paused_s
            self._add("gc", in_gc)
            lasted -= in_gc
        holds = self._holds
        if holds is not None and "cpu" not in self._open and self._thread == get_ident():
            # The task was suspended, and while others held the loop nobody could notice that its wait was over.
            held = min(holds.just_before(now, self._since), lasted)
            if held:
                self._add("loop", held)
                lasted -= held
        self._since = now
        self._add(cause, lasted)

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


__all__ = ["CALLS", "CAUSES", "Cause", "WaitTimes", "shown"]
