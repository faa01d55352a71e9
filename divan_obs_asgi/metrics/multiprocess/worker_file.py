"""
The ledger of a worker: a file with its numbers, which the other workers read while it lives and after its death.

The file is mapped into memory. So a number in it is as cheap as any other number, and a process that is killed loses
no counts. The process locks the file while it lives. Others test the lock, since a process id may be reused.
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

from divan_obs_asgi.metrics.local import local_values
from divan_obs_asgi.metrics.multiprocess import forks, locks
from divan_obs_asgi.metrics.multiprocess.file_format import HEAD, Described, family_text, head, record, series_text
from divan_obs_asgi.metrics.multiprocess.values import DatedGaugeValue, GaugeValue, Numbers, Value

LEDGER = ".worker"
UNFINISHED = ".new"
_FIRST_SIZE = 1 << 16

_logger = logging.getLogger("divan_obs_asgi.metrics")


class Ledger:
    """
    The ledger file of this process, in `directory`. A forked process gets a file of its own, at its first count.

    If the file cannot be created or locked, the ledger counts in memory, and `restore` tries again.

    Args:
        prefix: the beginning of the file name.

    Attributes:
        name: the name of the file; empty if there is none.
        lock: held while numbers are read or written.
        numbers: the file as doubles.
    """

    def __init__(self, directory: Path, prefix: str) -> None:
        self._directory = directory
        self._prefix = prefix
        # Reentrant: a signal handler or a finalizer may count while its thread is counting.
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
            # A worker must start even if the disk is full or the directory is missing.
            self._use_memory(head(HEAD))
        forks.register(self)

    def close(self) -> None:
        """Close and unlock the file, as the end of the process does."""
        self._release()

    def is_shared(self) -> bool:
        """Return whether other workers can find the file."""
        try:
            os.stat(self._directory / self.name)
        except OSError:
            return False
        return self.name != ""

    def restore(self) -> None:
        """
        Create the file again if it is missing, with all counts.

        Raises:
            OSError: if the file cannot be created; the ledger is then unchanged.
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
        """Return the contents of the file, from memory; None if another program has truncated the file."""
        with self.lock:
            if isinstance(self.numbers, _ForkedNumbers):
                return self.numbers.blank
            if self._descriptors and os.fstat(self._mapped).st_size < len(self._map):
                return None
            return bytes(self._map[: self._used])

    def values(self, described: Described, labels: Sequence[str], count: int) -> list[Any]:
        """
        Return the `count` numbers of a label set. If it is in the ledger already, they keep their values.

        If the ledger cannot grow, because the disk is full, the numbers are local to this process and not exported.
        """
        with self.lock:
            try:
                at = self._at(described, labels)
            except OSError as error:
                self._warn(error)
                return local_values(count)
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
        """Append a record; return its end."""
        added = record(text, numbers)
        if isinstance(self.numbers, _ForkedNumbers):
            self.numbers.open()
        end = self._used + len(added)
        if end > len(self._map):
            size = len(self._map)
            while size < end:
                size *= 2
            self._grow(size)
        self._map[self._used : end] = added
        # Last: a reader finds complete records only, also after this process was killed.
        self._map[:HEAD] = head(end)
        self._used = end
        return end

    def _open(self, contents: bytes) -> None:
        """Create the file, and lock it before other workers can see it."""
        name = f"{self._prefix}-{os.getpid()}-{secrets.token_hex(8)}"
        unfinished = self._directory / (name + UNFINISHED)
        locked = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        self._descriptors.append(locked)
        try:
            locks.lock(locked)
            # Opened twice: the mapping keeps its own descriptor, also in a forked process, and must not keep the lock.
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
        _allocate(self._mapped, size)
        # The old mapping is freed with its last reader; both map the same file.
        self._map = mmap.mmap(self._mapped, size)
        self.numbers = memoryview(self._map).cast("d")

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            _logger.error(
                "Cannot extend the metrics file (%s); new series of this worker are not exported.", error.strerror
            )

    # Forks.

    def forked(self) -> None:
        """Release the file of the parent; called in the child."""
        # Close the descriptors: the parent's lock is held while any process has them open.
        _close(self._descriptors)
        if not isinstance(self.numbers, _ForkedNumbers):
            blank = bytearray(self._map[: self._used])
            numbers = memoryview(blank).cast("d")
            for start, end in self._places.values():
                numbers[start:end] = memoryview(bytes((end - start) * 8)).cast("d")
            self.numbers = _ForkedNumbers(self, bytes(blank))

    def reopen(self, contents: bytes) -> None:
        """Create a file for a forked process, with its series but without counts."""
        try:
            self._open(contents)
        except OSError:
            self._use_memory(contents)

    def _use_memory(self, contents: bytes) -> None:
        """Count in memory, where no other worker can read it."""
        self.name = ""
        self._used = len(contents)
        self._map = bytearray(contents)
        self._grow(max(_FIRST_SIZE, len(contents)))


class _ForkedNumbers:
    """
    The numbers of a ledger in a forked process: the first access creates a new file.

    So a child that counts nothing, or executes another program, leaves no file.
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


def _allocate(descriptor: int, size: int) -> None:
    """
    Extend a file to `size` bytes, and allocate them on the disk.

    A write to a mapped page for which the disk has no room would kill the process (SIGBUS).
    """
    try:
        os.posix_fallocate(descriptor, 0, size)
    except (AttributeError, OSError) as error:
        # macOS does not have this function, and musl (Alpine) has no fallback for file systems without support.
        if isinstance(error, OSError) and error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
        before = os.fstat(descriptor).st_size
        os.pwrite(descriptor, bytes(size - before), before)


def _close(descriptors: list[int]) -> None:
    while descriptors:
        os.close(descriptors.pop())


__all__ = ["LEDGER", "UNFINISHED", "Ledger"]
