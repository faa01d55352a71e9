"""Whether the event loop turns, and the place of the code that holds it up."""

from __future__ import annotations

import inspect
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import anyio

from divan_obs_asgi.internal_errors import InternalErrors
from divan_obs_asgi.metrics import Metrics

# How often the loop says that it turns.
_INTERVAL_S = 0.05
# A stall that goes on is told before it ends: whoever restarts the process then knows why.
_STILL_S = 5.0
# A place is told once in so many seconds.
_EVERY_S = 60.0
_PLACES = 200
_FRAMES = 8
_OF_A_TASK = inspect.CO_COROUTINE | inspect.CO_ITERABLE_COROUTINE | inspect.CO_ASYNC_GENERATOR
_STDLIB = str(Path(threading.__file__).parent)
_INSTALLED = ("site-packages", "dist-packages")
_OURS = f"{Path(__file__).parent}{os.sep}"
_logger = logging.getLogger("divan_obs_asgi.watchdog")


@dataclass(frozen=True, slots=True)
class Place:
    """Where code is: files, lines and names of functions, and no values."""

    at: str
    stack: tuple[str, ...]


_NOWHERE = Place("no code of its own: other threads or processes had the processor", ())


class Watchdog:
    """
    A task that says twenty times a second that the event loop turns, and a thread that sees when it does not.

    The task measures how much later than asked it wakes up (the lag). When it is silent for `stall_s` too long, the
    thread looks where the loop's thread is, counts a stall, and logs place and duration. Works on any event loop, for
    all that is asked of it is a sleep.

    While the application starts (it imports, it loads a model) no request waits for the loop: nothing is measured.

    Args:
        starting: whether the application is starting, and serves nobody yet.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        metrics: Metrics,
        faults: InternalErrors,
        *,
        stall_s: float,
        interval_s: float = _INTERVAL_S,
        starting: Callable[[], bool] = bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metrics = metrics
        self._faults = faults
        self._stall_s = stall_s
        self._interval_s = interval_s
        self._starting = starting
        self._clock = clock
        self._beat = self._due = 0.0
        self._beneath = 0
        self._told: dict[str, float] = {}

    async def run(self) -> None:
        """Beat, and be watched, until cancelled."""
        stop = threading.Event()
        lag = self._metrics.event_loop_lag
        thread = threading.Thread(
            target=self._watch, args=(threading.get_ident(), stop), name="divan-obs-watchdog", daemon=True
        )
        self._beneath = beneath()
        self.begin()
        thread.start()
        try:
            while True:
                self._due = self._clock() + self._interval_s
                await anyio.sleep(self._interval_s)
                self._beneath = beneath()
                self._beat = self._clock()
                if not self._starting():
                    lag.observe(max(0.0, self._beat - self._due))
        finally:
            stop.set()

    def begin(self) -> None:
        """Measure from here on: what has kept the loop until now was the application's start."""
        self._beat = self._clock()
        self._due = self._beat + self._interval_s

    def _watch(self, loop_thread: int, stop: threading.Event) -> None:
        try:
            self._watch_until(stop, loop_thread)
        except Exception as error:
            self._faults.report("watchdog", error)

    def _watch_until(self, stop: threading.Event, loop_thread: int) -> None:
        patience_s = self._interval_s + self._stall_s
        look_at = self._beat + patience_s
        while not stop.wait(max(0.0, look_at - self._clock())):
            now = self._clock()
            beat = self._beat
            if beat + patience_s > now:
                look_at = beat + patience_s
            elif self._starting() or starved(now, look_at, self._stall_s):
                look_at = now + patience_s
            else:
                self._metrics.event_loop_stalls.inc()
                self._follow(beat, place_of(loop_thread, self._beneath) or _NOWHERE, stop)
                look_at = self._clock() + patience_s

    def _follow(self, beat: float, place: Place, stop: threading.Event) -> None:
        """Wait for the stall to end, and tell of it."""
        told_still = False
        while self._beat == beat and not stop.wait(self._interval_s):
            blocked_s = self._clock() - beat - self._interval_s
            if blocked_s > _STILL_S and not told_still:
                told_still = True
                self._tell("The event loop is blocked, for %.3f s so far, at %s", blocked_s, place)
        if not told_still:
            self._tell("The event loop was blocked for %.3f s at %s", self._clock() - beat - self._interval_s, place)

    def _tell(self, message: str, blocked_s: float, place: Place) -> None:
        now = self._clock()
        last = self._told.get(place.at)
        if last is not None and now - last < _EVERY_S:
            return
        if len(self._told) >= _PLACES:
            self._told.clear()
        self._told[place.at] = now
        fields = {"blocked_at": place.at, "blocked_ms": round(blocked_s * 1e3), "blocked_stack": list(place.stack)}
        _logger.warning(message, blocked_s, place.at, extra=fields)


def starved(now: float, look_at: float, stall_s: float) -> bool:
    """
    Tell whether the watching thread itself woke up too late to judge.

    Then the whole process stood still (a suspended machine, a debugger, a quota of processor time), and no code of it
    is to blame.
    """
    return now - look_at > stall_s


def beneath() -> int:
    """Return how many frames are beneath the task that asks: those of its event loop, and of who runs that."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_flags & _OF_A_TASK:
        frame = frame.f_back
    count = 0
    while frame is not None:
        count += 1
        frame = frame.f_back
    return count


def place_of(thread: int, below: int) -> Place | None:
    """
    Return where the thread of an event loop is; None where that runs no code, but waits.

    Args:
        below: how many frames are beneath its tasks, and not to blame for what they do.
    """
    frames = list(_frames(sys._current_frames().get(thread)))
    frames = frames[: max(0, len(frames) - below)]
    if not frames or any(frame.f_code.co_filename == __file__ for frame in frames):
        # Its own task, which waits for the processor where it starts its thread: that blocks nobody.
        return None
    # The application's own code is what its author can change: not the socket's `recv` that it waits in.
    author = next((frame for frame in frames if not _is_of_a_library(frame)), None)
    # Where this library alone is at work it is named, and not the lock of the standard library that it waits for.
    found = author or next((frame for frame in frames if _is_ours(frame)), frames[0])
    told = frames[:_FRAMES]
    if found not in told:
        told[-1] = found
    return Place(_where(found), tuple(map(_where, told)))


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    """Yield the frames of a stack, the innermost first."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def _where(frame: FrameType) -> str:
    return f"{_short(frame.f_code.co_filename)}:{frame.f_lineno} {frame.f_code.co_qualname}"


def _is_of_a_library(frame: FrameType) -> bool:
    filename = frame.f_code.co_filename
    return (
        filename.startswith((_STDLIB, "<frozen")) or any(folder in filename for folder in _INSTALLED) or _is_ours(frame)
    )


def _is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_OURS)


def _short(filename: str) -> str:
    """Return a file's path as an import sees it: where the service is installed is nobody's business."""
    folders = [folder for folder in sys.path if folder and filename.startswith(f"{folder}/")]
    longest = max(folders, key=len, default="")
    return filename[len(longest) + 1 :] if longest else filename.rpartition("/")[2]


__all__ = ["Place", "Watchdog", "beneath", "place_of", "starved"]
