"""
What one worker counts, in a file that the others read while it lives, and that is there when it has died.

The file is mapped into memory: a number in it costs what one in the process costs, and a process that is killed has
lost none. It is locked as long as its process lives, and the lock is how others know: a process id may be somebody
else's by now.
"""

from __future__ import annotations

import errno
import logging
import mmap
import os
import secrets
import threading
import time
import weakref
from collections.abc import Sequence
from math import isnan, nan
from pathlib import Path
from typing import Any, Protocol

from prometheus_client.values import MutexValue

from divan_obs_asgi.metrics.records import HEAD, Described, family_text, head, record, series_text

try:
    import fcntl

    HAS_LOCKS = True
except ImportError:  # Windows
    HAS_LOCKS = False

LEDGER = ".worker"
UNFINISHED = ".new"
_FIRST_SIZE = 1 << 16

_logger = logging.getLogger("divan_obs_asgi.metrics")


class Numbers(Protocol):
    """Doubles, one beside the other."""

    def __getitem__(self, at: int, /) -> float: ...
    def __setitem__(self, at: int, value: float, /) -> None: ...


class Value:
    """
    A number of a ledger, with the methods of prometheus_client's values.

    Attributes:
        at: its place among the ledger's numbers.
    """

    __slots__ = ("_exemplar", "_ledger", "at")

    def __init__(self, ledger: Ledger, at: int) -> None:
        self._ledger = ledger
        self.at = at
        self._exemplar: Any = None

    @property
    def _value(self) -> float:
        return self.get()

    def inc(self, amount: float) -> None:
        ledger = self._ledger
        with ledger.lock:
            ledger.numbers[self.at] += amount

    def set(self, value: float, timestamp: float | None = None) -> None:
        ledger = self._ledger
        with ledger.lock:
            ledger.numbers[self.at] = value

    def get(self) -> float:
        ledger = self._ledger
        with ledger.lock:
            return ledger.numbers[self.at]

    def set_exemplar(self, exemplar: Any) -> None:
        self._exemplar = exemplar

    def get_exemplar(self) -> Any:
        return self._exemplar


class GaugeValue(Value):
    """The number of a gauge whose workers are summed; not a number where it was taken back."""

    __slots__ = ()

    def withdraw(self) -> None:
        """Have it be told no longer."""
        self.set(nan)

    def begin(self) -> None:
        """Be a number again, where it was withdrawn."""
        ledger = self._ledger
        with ledger.lock:
            if isnan(ledger.numbers[self.at]):
                ledger.numbers[self.at + 1] = 0.0
                ledger.numbers[self.at] = 0.0


class DatedGaugeValue(GaugeValue):
    """The number of another gauge; beside it stands when it was set, 0 for never."""

    __slots__ = ()

    def inc(self, amount: float) -> None:
        ledger = self._ledger
        with ledger.lock:
            ledger.numbers[self.at] += amount
            ledger.numbers[self.at + 1] = time.time()

    def set(self, value: float, timestamp: float | None = None) -> None:
        ledger = self._ledger
        with ledger.lock:
            # In this order: who reads in between takes it for older than it is, not an older one for this.
            ledger.numbers[self.at] = value
            ledger.numbers[self.at + 1] = time.time()


class Ledger:
    """
    The file of this process, in `directory`. A process that is forked off gets one of its own, at its first count.

    Args:
        prefix: what the file's name begins with.

    Attributes:
        name: of the file.
        lock: to be held by who reads or writes numbers.
        numbers: the file, as doubles.

    Raises:
        OSError: where the file cannot be made or locked.
    """

    def __init__(self, directory: Path, prefix: str) -> None:
        self._directory = directory
        self._prefix = prefix
        # The same thread may count while it counts: a signal handler, a finalizer.
        self.lock = threading.RLock()
        self._places: dict[str, tuple[int, int]] = {}
        self._families: dict[str, int] = {}
        self._warned = False
        self._descriptors: list[int] = []
        self._release = weakref.finalize(self, _close, self._descriptors)
        self._used = 0
        self._map: mmap.mmap | bytearray
        self.numbers: Numbers
        self._open(head(HEAD))
        _ledgers.add(self)

    def close(self) -> None:
        """Be as one whose process has ended."""
        self._release()

    def values(self, described: Described, labels: Sequence[str], count: int) -> list[Any]:
        """
        Return the numbers of a label set, `count` of them; where it is in the ledger they go on.

        Those of a ledger that cannot grow, for the disk is full, count in this process only, and are told nowhere.
        """
        with self.lock:
            try:
                at = self._at(described, labels)
            except OSError as error:
                self._warn(error)
                return [MutexValue("", "", "", (), (), "") for _ in range(count)]  # type: ignore[no-untyped-call]
            if described.family.kind != "gauge":
                return [Value(self, at + offset) for offset in range(count)]
            is_summed = described.family.mode.endswith("sum")
            gauge = (GaugeValue if is_summed else DatedGaugeValue)(self, at)
            gauge.begin()
            return [gauge]

    def _at(self, described: Described, labels: Sequence[str]) -> int:
        text = family_text(described)
        number = self._families.get(text)
        if number is None:
            self._append(text, ())
            number = self._families[text] = len(self._families)
        text = series_text(number, labels)
        if text not in self._places:
            numbers = [0.0] * described.width
            if described.family.kind != "gauge":
                numbers[-1] = time.time()
            end = self._append(text, numbers) // 8
            self._places[text] = end - len(numbers), end
        return self._places[text][0]

    def _append(self, text: str, numbers: Sequence[float]) -> int:
        """Add a record; returns where it ends."""
        added = record(text, numbers)
        if isinstance(self.numbers, _Forked):
            self.numbers.open()
        end = self._used + len(added)
        if end > len(self._map):
            size = len(self._map)
            while size < end:
                size *= 2
            self._grow(size)
        self._map[self._used : end] = added
        # Only now: who reads meanwhile, or after this process was killed, finds whole records.
        self._map[:HEAD] = head(end)
        self._used = end
        return end

    def _open(self, contents: bytes) -> None:
        """Make the file, locked before others can see it."""
        name = f"{self._prefix}-{os.getpid()}-{secrets.token_hex(8)}"
        unfinished = self._directory / (name + UNFINISHED)
        locked = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        self._descriptors.append(locked)
        try:
            fcntl.flock(locked, fcntl.LOCK_EX)
            # Opened twice: the mapping keeps its descriptor, also in a process forked off, and must keep no lock.
            self._mapped = os.open(unfinished, os.O_RDWR)
            self._descriptors.append(self._mapped)
            self._grow(max(_FIRST_SIZE, len(contents)))
            self._map[: len(contents)] = contents
            self._used = len(contents)
            self.name = name + LEDGER
            os.rename(unfinished, self._directory / self.name)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            _close(self._descriptors)
            raise

    def _grow(self, size: int) -> None:
        if not self._descriptors:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if hasattr(os, "posix_fallocate"):
            # A page that finds no room on the disk when it is written to would end the process (SIGBUS).
            os.posix_fallocate(self._mapped, 0, size)
        else:
            os.truncate(self._mapped, size)
        # The one before goes with its last reader; both show the same file.
        self._map = mmap.mmap(self._mapped, size)
        self.numbers = memoryview(self._map).cast("d")

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            _logger.error("New series are told nowhere: the file of this worker cannot grow (%s).", error.strerror)

    # Forks.

    def forked(self) -> None:
        """Let go of the parent's file, in the child."""
        # Not to be kept: the parent's lock is held as long as one process has this open.
        _close(self._descriptors)
        if not isinstance(self.numbers, _Forked):
            blank = bytearray(self._map[: self._used])
            numbers = memoryview(blank).cast("d")
            for start, end in self._places.values():
                numbers[start:end] = memoryview(bytes((end - start) * 8)).cast("d")
            self.numbers = _Forked(self, bytes(blank))

    def reopen(self, contents: bytes) -> None:
        """Have a file again, with what is known and no counts."""
        try:
            self._open(contents)
        except OSError as error:
            self._warn(error)
            self._map = bytearray(contents) + bytearray(_FIRST_SIZE)
            self._used = len(contents)
            self.numbers = memoryview(self._map).cast("d")


class _Forked:
    """
    The numbers of a ledger whose process was forked: the first that is asked for opens a new file.

    So a child that counts nothing, or becomes another program, leaves none.
    """

    def __init__(self, ledger: Ledger, blank: bytes) -> None:
        self._ledger = ledger
        self._blank = blank

    def open(self) -> Numbers:
        if self._ledger.numbers is self:
            self._ledger.reopen(self._blank)
        return self._ledger.numbers

    def __getitem__(self, at: int, /) -> float:
        return self.open()[at]

    def __setitem__(self, at: int, value: float, /) -> None:
        self.open()[at] = value


_ledgers: weakref.WeakSet[Ledger] = weakref.WeakSet()
# Those whose locks are held during a fork.
_held: list[Ledger] = []


def _close(descriptors: list[int]) -> None:
    while descriptors:
        os.close(descriptors.pop())


def _before_fork() -> None:
    _held[:] = _ledgers
    for ledger in _held:
        ledger.lock.acquire()


def _after_fork_in_parent() -> None:
    while _held:
        _held.pop().lock.release()


def _after_fork_in_child() -> None:
    while _held:
        ledger = _held.pop()
        ledger.forked()
        ledger.lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


def is_alive(descriptor: int) -> bool:
    """Tell whether the process of an open ledger lives."""
    try:
        # Shared, so that two who ask do not take each other for the owner.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def is_mine(descriptor: int) -> bool:
    """Lock an open file, until it is closed; tell whether nobody else had."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


__all__ = ["HAS_LOCKS", "LEDGER", "UNFINISHED", "GaugeValue", "Ledger", "Value", "is_alive", "is_mine"]
