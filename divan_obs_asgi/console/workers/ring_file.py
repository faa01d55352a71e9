"""
The ring file of this worker: the last entries of its console, which the other workers read.

Entries are written with `pwrite` and not through a mapping: if another program truncates a mapped file, the next access
kills the process (SIGBUS). What `pwrite` has written stays readable if the process is killed. A thread writes, so a
slow disk does not block the event loop; it writes an entry at once when it has been idle, and 20 times a second else.

The process locks the file while it lives, as it does its metrics file.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
import weakref
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from divan_obs_asgi.console.workers.ring_format import HEAD, MIN_SIZE, RingHead, encoded_entry, lanes_of
from divan_obs_asgi.metrics.multiprocess import forks, locks

RING = ".ring"
UNFINISHED = ".ring-new"
# Files of so many workers together are as large as OBS_CONSOLE_BYTES.
WORKERS = 8

_PAUSE_S = 0.05
# Seconds until the next attempt to create a file.
_RETRY_S = 5.0


def size_for(console_bytes: int) -> int:
    """Return the size of a worker's ring file, from OBS_CONSOLE_BYTES."""
    return max(MIN_SIZE, console_bytes // WORKERS & ~7)


class RingFile:
    """
    Writes the entries of this worker to its ring file. A forked process gets a file of its own, at its first entry.

    Nothing raises: failures are counted in `problems`, and those of the disk are reported.

    Args:
        directory: that of PROMETHEUS_MULTIPROC_DIR; created if it is missing.
        prefix: the beginning of the file name.
        size: the size of the file, in bytes.
        failed: called with each failure.
        clock: seconds, monotonic.
        wall: Unix time.

    Attributes:
        name: the name of the file; empty if there is none.
        problems: the number of failures by kind: "create", "write", "missing", "truncated", "large" (entries that do
            not fit), "queue" (entries that came faster than they were written).
        lock: held while the queue is changed.
    """

    def __init__(
        self,
        directory: Path,
        prefix: str,
        size: int,
        failed: Callable[[Exception], object],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.directory = directory
        self.name = ""
        self.problems: Counter[str] = Counter()
        # Reentrant: a signal handler may append while its thread is appending.
        self.lock = threading.RLock()
        self._prefix = prefix
        self._size = max(MIN_SIZE, size & ~7)
        self._failed = failed
        self._clock = clock
        self._wall = wall
        self._lanes = lanes_of(self._size)
        self._max_queued = self._size // 4
        self._begin()
        self._release = weakref.finalize(self, _close, self._descriptors, self._wake)
        forks.register(self)

    def _begin(self) -> None:
        self._places = {kind: lane.start for kind, lane in self._lanes.items()}
        self._queue: deque[tuple[str, bytes]] = deque()
        self._queued = 0
        self._sequence = 0
        self._descriptors: list[int] = []
        self._inode = (0, 0)
        self._retry_at = -_RETRY_S
        self._writing = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._ended = False
        self._started = self._wall()

    def append(self, kind: str, entry: bytes) -> None:
        """Queue an entry, which is JSON and redacted; never blocks on the disk and never raises."""
        with self.lock:
            if self._ended:
                return
            if self._queued + len(entry) > self._max_queued:
                self.problems["queue"] += 1
                return
            self._queue.append((kind, entry))
            self._queued += len(entry)
            if self._thread is None:
                self._start_thread()
        if not self._wake.is_set():
            self._wake.set()

    def flush(self) -> None:
        """Write the queued entries now, in this thread."""
        with self._writing:
            try:
                self._write_queued()
            except Exception as error:
                # A part of the system that fails in an unknown way must not end the thread.
                self._report("write", error)

    def close(self) -> None:
        """Write the queued entries and unlock the file, as the end of the process does; later entries are dropped."""
        with self.lock:
            self._ended = True
        self.flush()
        self._release()

    def forked(self) -> None:
        """Release the file of the parent; called in the child."""
        self._release.detach()
        # The parent's lock is held while any process has the file open.
        _close(self._descriptors, self._wake)
        ended = self._ended
        self.name = ""
        self._begin()
        self._ended = ended
        self._release = weakref.finalize(self, _close, self._descriptors, self._wake)

    # In the writer's thread.

    def _start_thread(self) -> None:
        thread = threading.Thread(
            target=_write_until_gone, args=(weakref.ref(self), self._wake), name="divan-console-ring", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:
            # No thread can be started: at the end of the interpreter, or at a limit of the system.
            self._report("write", error)
        else:
            self._thread = thread

    def _write_queued(self) -> None:
        with self.lock:
            taken, self._queue = self._queue, deque()
            self._queued = 0
        if not taken:
            return
        if not self._is_ready():
            self.problems["write"] += len(taken)
            return
        for kind, data in taken:
            self._write(kind, data)

    def _write(self, kind: str, data: bytes) -> None:
        lane_name = kind if kind in self._lanes else ""
        lane = self._lanes[lane_name]
        packed = encoded_entry(self._sequence + 1, kind, data)
        if len(packed) > lane.max_entry:
            self.problems["large"] += 1
            return
        place = self._places[lane_name]
        try:
            if place + len(packed) > lane.end:
                # The rest would hold entries that are older than all others.
                self._pwrite(bytes(lane.end - place), place)
                place = lane.start
            self._pwrite(packed, place)
        except OSError as error:
            self._report("write", error)
            return
        self._sequence += 1
        self._places[lane_name] = place + len(packed)

    def _pwrite(self, data: bytes, place: int) -> None:
        written = os.pwrite(self._descriptors[0], data, place)
        if written < len(data):
            # The disk became full within the entry.
            os.pwrite(self._descriptors[0], data[written:], place + written)

    def _is_ready(self) -> bool:
        """Return whether there is a file that others can find; create or repair it."""
        if self._descriptors:
            try:
                size = os.fstat(self._descriptors[0]).st_size
                if size < self._size:
                    self._report("truncated", OSError("Another program has truncated the ring file."))
                    self._fill(self._descriptors[0], b"", size)
                there = os.stat(self.directory / self.name, follow_symlinks=False)
                if (there.st_dev, there.st_ino) == self._inode:
                    return True
            except OSError as error:
                if not isinstance(error, FileNotFoundError):
                    self._report("write", error)
                    return False
            self._report("missing", FileNotFoundError("The ring file is missing."))
        if self._clock() - self._retry_at < _RETRY_S and not self._descriptors:
            return False
        self._retry_at = self._clock()
        try:
            self._open()
        except OSError as error:
            self._report("create", error)
            return False
        return True

    def _open(self) -> None:
        """Create the file, with the contents of the lost one if there was one, and lock it before others see it."""
        self.directory.mkdir(parents=True, exist_ok=True)
        contents = os.pread(self._descriptors[0], self._size, 0) if self._descriptors else b""
        while self._descriptors:
            os.close(self._descriptors.pop())
        name = f"{self._prefix}-{os.getpid()}-{secrets.token_hex(8)}"
        unfinished = self.directory / (name + UNFINISHED)
        descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            locks.lock(descriptor)
            self._fill(descriptor, contents, 0)
            found = os.fstat(descriptor)
            self._inode = found.st_dev, found.st_ino
            os.rename(unfinished, self.directory / (name + RING))
        except BaseException:
            os.close(descriptor)
            with suppress(OSError):
                unfinished.unlink()
            raise
        self.name = name + RING
        self._descriptors.append(descriptor)

    def _fill(self, descriptor: int, contents: bytes, size: int) -> None:
        """Write the head, and allocate the bytes from `size` on: later writes need no more room on the disk."""
        head = RingHead(self._size, os.getpid(), self._started).encoded()
        os.pwrite(descriptor, head + contents[HEAD:], 0)
        rest = max(size, HEAD, len(contents))
        os.pwrite(descriptor, bytes(self._size - rest), rest)

    def _report(self, kind: str, error: Exception) -> None:
        self.problems[kind] += 1
        self._failed(error)


def _write_until_gone(reference: weakref.ref[RingFile], wake: threading.Event) -> None:
    """Write entries until the ring file is closed or freed."""
    while wake.wait():
        wake.clear()
        ring = reference()
        if ring is None or ring._ended:
            return
        ring.flush()
        del ring
        time.sleep(_PAUSE_S)


def _close(descriptors: list[int], wake: threading.Event) -> None:
    while descriptors:
        with suppress(OSError):
            os.close(descriptors.pop())
    wake.set()


__all__ = ["RING", "UNFINISHED", "WORKERS", "RingFile", "size_for"]
