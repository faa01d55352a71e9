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
from pathlib import Path
from typing import Any

from prometheus_client.values import MutexValue

from divan_obs_asgi.metrics.multiprocess import forks, locks
from divan_obs_asgi.metrics.multiprocess.file_format import HEAD, Described, family_text, head, record, series_text
from divan_obs_asgi.metrics.multiprocess.values import DatedGaugeValue, GaugeValue, Numbers, Value

LEDGER = ".worker"
UNFINISHED = ".new"
_FIRST_SIZE = 1 << 16

_logger = logging.getLogger("divan_obs_asgi.metrics")


class Ledger:
    """
    The file of this process, in `directory`. A process that is forked off gets one of its own, at its first count.

    Args:
        prefix: what the file's name begins with.

    Where no file can be made or locked, it counts in memory, and `restore` tries again.

    Attributes:
        name: of the file; empty where there is none.
        lock: to be held by who reads or writes numbers.
        numbers: the file, as doubles.
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
        self.name = ""
        self._mapped = -1
        self._map: mmap.mmap | bytearray
        self.numbers: Numbers
        try:
            self._open(head(HEAD))
        except OSError:
            # Who is started again while the disk is full or the directory is away is to serve.
            self._do_without(head(HEAD))
        forks.watch(self)

    def close(self) -> None:
        """Be as one whose process has ended."""
        self._release()

    def is_shared(self) -> bool:
        """Tell whether other workers can find the file."""
        try:
            os.stat(self._directory / self.name)
        except OSError:
            return False
        return self.name != ""

    def restore(self) -> None:
        """
        Have a file again where it is gone or never was, with all that was counted.

        Raises:
            OSError: where none can be made; then everything is as it was.
        """
        with self.lock:
            contents = self.contents()
            if self.is_shared() or contents is None:
                return
            before = self.name, self._used, self._mapped, self._map, self.numbers
            descriptors = self._descriptors[:]
            self._descriptors.clear()
            try:
                self._open(contents)
            except OSError:
                self._descriptors.extend(descriptors)
                self.name, self._used, self._mapped, self._map, self.numbers = before
                raise
            _close(descriptors)

    def contents(self) -> bytes | None:
        """Return what is in the file, from memory; None where the file was cut under it."""
        with self.lock:
            if isinstance(self.numbers, _Forked):
                return self.numbers.blank
            if self._descriptors and os.fstat(self._mapped).st_size < len(self._map):
                return None
            return bytes(self._map[: self._used])

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
            locks.lock(locked)
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
            self._map = bytearray(self._map) + bytearray(size - len(self._map))
            self.numbers = memoryview(self._map).cast("d")
            return
        _make_room(self._mapped, size)
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
        except OSError:
            self._do_without(contents)

    def _do_without(self, contents: bytes) -> None:
        """Count where no other worker sees it."""
        self.name = ""
        self._used = len(contents)
        self._map = bytearray(contents)
        self._grow(max(_FIRST_SIZE, len(contents)))


class _Forked:
    """
    The numbers of a ledger whose process was forked: the first that is asked for opens a new file.

    So a child that counts nothing, or becomes another program, leaves none.
    """

    def __init__(self, ledger: Ledger, blank: bytes) -> None:
        self._ledger = ledger
        self.blank = blank

    def open(self) -> Numbers:
        if self._ledger.numbers is self:
            self._ledger.reopen(self.blank)
        return self._ledger.numbers

    def __getitem__(self, at: int, /) -> float:
        return self.open()[at]

    def __setitem__(self, at: int, value: float, /) -> None:
        self.open()[at] = value


def _make_room(descriptor: int, size: int) -> None:
    """
    Have a file be so large.

    A page of it that finds no room on the disk when it is written to would end the process (SIGBUS).
    """
    try:
        os.posix_fallocate(descriptor, 0, size)
    except (AttributeError, OSError) as error:
        # macOS has none; and musl (Alpine) does not stand in for a file system that cannot.
        if isinstance(error, OSError) and error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
        before = os.fstat(descriptor).st_size
        os.pwrite(descriptor, bytes(size - before), before)


def _close(descriptors: list[int]) -> None:
    while descriptors:
        os.close(descriptors.pop())


__all__ = ["LEDGER", "UNFINISHED", "Ledger"]
