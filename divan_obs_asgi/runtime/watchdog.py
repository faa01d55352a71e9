"""Measures the lag of the event loop, and finds the code that blocks it."""

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
from divan_obs_asgi.runtime.stalls import RecentStalls

# Seconds between two heartbeats of the loop.
_INTERVAL_S = 0.05
# A stall that lasts this long is logged before it ends, in case the process is restarted.
ONGOING_S = 5.0
# A place is logged once in so many seconds.
REPEAT_S = 60.0
_PLACES = 200
FRAMES = 8
_TASK_FLAGS = inspect.CO_COROUTINE | inspect.CO_ITERABLE_COROUTINE | inspect.CO_ASYNC_GENERATOR
_STDLIB = str(Path(threading.__file__).parent)
_INSTALLED = ("site-packages", "dist-packages")
_OURS = f"{Path(__file__).parent}{os.sep}"
_logger = logging.getLogger("divan_obs_asgi.watchdog")


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the code: files, lines and names of functions, never values."""

    at: str
    stack: tuple[str, ...]


_NOWHERE = Place("no code of the event loop: other threads or processes used the processor", ())


class Watchdog:
    """
    A task with a heartbeat twenty times a second, and a thread that notices when the heartbeat stops.

    The task measures how much too late it wakes up (the lag). If the heartbeat is late by `stall_s`, the thread looks
    where the loop's thread is, counts a stall, and logs place and duration. This works on any event loop, because the
    task only sleeps.

    While the application starts (imports, loading of a model) no request waits, so nothing is measured.

    Args:
        starting: returns whether the application is still starting.
        stalls: where each stall is noted.
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
        stalls: RecentStalls | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metrics = metrics
        self._faults = faults
        self._stall_s = stall_s
        self._interval_s = interval_s
        self._starting = starting
        self._stalls = RecentStalls() if stalls is None else stalls
        self._clock = clock
        self._beat = self._due = 0.0
        self._base_frames = 0
        self._logged: dict[str, float] = {}

    async def run(self) -> None:
        """Beat until cancelled, with the watching thread beside it."""
        stop = threading.Event()
        lag = self._metrics.event_loop_lag
        thread = threading.Thread(
            target=self._watch, args=(threading.get_ident(), stop), name="divan-obs-watchdog", daemon=True
        )
        self._base_frames = frames_below_task()
        self.begin()
        thread.start()
        try:
            while True:
                self._due = self._clock() + self._interval_s
                await anyio.sleep(self._interval_s)
                self._base_frames = frames_below_task()
                self._beat = self._clock()
                if not self._starting():
                    lag.observe(max(0.0, self._beat - self._due))
        finally:
            stop.set()

    def begin(self) -> None:
        """Measure from now on, without what blocked the loop before."""
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
                self._follow(beat, place_of(loop_thread, self._base_frames) or _NOWHERE, stop)
                look_at = self._clock() + patience_s

    def _follow(self, beat: float, place: Place, stop: threading.Event) -> None:
        """Wait for the stall to end, and log it."""
        is_logged = False
        while self._beat == beat and not stop.wait(self._interval_s):
            blocked_s = self._clock() - beat - self._interval_s
            if blocked_s > ONGOING_S and not is_logged:
                is_logged = True
                self._log("The event loop has been blocked for %.3f s so far at %s", blocked_s, place)
        blocked_s = self._clock() - beat - self._interval_s
        self._stalls.add(blocked_s, place.at, place.stack)
        if not is_logged:
            self._log("The event loop was blocked for %.3f s at %s", blocked_s, place)

    def _log(self, message: str, blocked_s: float, place: Place) -> None:
        now = self._clock()
        last = self._logged.get(place.at)
        if last is not None and now - last < REPEAT_S:
            return
        if len(self._logged) >= _PLACES:
            self._logged.clear()
        self._logged[place.at] = now
        fields = {"blocked_at": place.at, "blocked_ms": round(blocked_s * 1e3), "blocked_stack": list(place.stack)}
        _logger.warning(message, blocked_s, place.at, extra=fields)


def starved(now: float, look_at: float, stall_s: float) -> bool:
    """
    Return whether the watching thread itself woke up too late to judge.

    Then the whole process was stopped (a suspended machine, a debugger, a quota of processor time), not by its code.
    """
    return now - look_at > stall_s


def frames_below_task() -> int:
    """Return the number of frames below the current task: the event loop, and the code that runs it."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_flags & _TASK_FLAGS:
        frame = frame.f_back
    count = 0
    while frame is not None:
        count += 1
        frame = frame.f_back
    return count


def place_of(thread: int, below: int) -> Place | None:
    """
    Return the code that the thread of an event loop runs; None if it waits.

    Args:
        below: the number of frames below the loop's tasks; these are ignored.
    """
    frames = list(_frames(sys._current_frames().get(thread)))
    frames = frames[: max(0, len(frames) - below)]
    if not frames or any(frame.f_code.co_filename == __file__ for frame in frames):
        # The watchdog's own task, which waits for the processor while it starts its thread. That blocks nothing.
        return None
    # The application's code is what its author can change, and not the `recv` of the socket in which it waits.
    author = next((frame for frame in frames if not _is_library(frame)), None)
    # If only this library runs, its frame is named, and not the lock of the standard library in which it waits.
    found = author or next((frame for frame in frames if _is_ours(frame)), frames[0])
    shown = frames[:FRAMES]
    if found not in shown:
        shown[-1] = found
    return Place(_where(found), tuple(map(_where, shown)))


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    """Yield the frames of a stack, innermost first."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def _where(frame: FrameType) -> str:
    return f"{short_path(frame.f_code.co_filename)}:{frame.f_lineno} {frame.f_code.co_qualname}"


def _is_library(frame: FrameType) -> bool:
    return is_installed_file(frame.f_code.co_filename) or _is_ours(frame)


def is_installed_file(filename: str) -> bool:
    """Return whether a file belongs to the standard library or to an installed package."""
    return filename.startswith((_STDLIB, "<frozen")) or any(folder in filename for folder in _INSTALLED)


def _is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_OURS)


def short_path(filename: str) -> str:
    """Return a file's path relative to `sys.path`, so that the log does not show where the service is installed."""
    folders = [folder for folder in sys.path if folder and filename.startswith(f"{folder}/")]
    longest = max(folders, key=len, default="")
    return filename[len(longest) + 1 :] if longest else filename.rpartition("/")[2]


__all__ = [
    "FRAMES",
    "ONGOING_S",
    "REPEAT_S",
    "Place",
    "Watchdog",
    "frames_below_task",
    "is_installed_file",
    "place_of",
    "short_path",
    "starved",
]
