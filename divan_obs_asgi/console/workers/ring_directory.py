"""Reads the ring files of all workers, and removes those of workers that died long ago."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from divan_obs_asgi.console.workers.ring_file import RING, UNFINISHED
from divan_obs_asgi.console.workers.ring_format import (
    HEAD,
    Entry,
    RingHead,
    Unreadable,
    head_of,
)
from divan_obs_asgi.console.workers.ring_reader import RingReader
from divan_obs_asgi.metrics.multiprocess.locks import is_alive, try_lock

# Dead workers whose files are kept, so that what they reported before a crash can be read; the oldest go first.
MAX_DEAD = 4
MAX_DEAD_S = 3600.0
# A file that is still unfinished after this time was abandoned; writing one takes milliseconds.
_ABANDONED_S = 60.0
# No symbolic link, and no wait for the other end of a pipe: another program may have put either there.
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


@dataclass(frozen=True, slots=True)
class RingContents:
    """
    A ring file as it was read.

    Attributes:
        alive: whether its worker is alive.
        complete: False if the end of the file is missing.
        reader: has its entries, and knows which of them are new.
    """

    name: str
    head: RingHead
    alive: bool
    complete: bool
    reader: RingReader


class RingDirectory:
    """
    The directory with the ring files of one service.

    Args:
        prefix: the beginning of the file names.
        wall: Unix time.
    """

    def __init__(self, path: Path, prefix: str, wall: Callable[[], float] = time.time) -> None:
        self.path = path
        self._prefix = prefix
        self._wall = wall
        self._readers: dict[str, RingReader] = {}

    def read(self, skip: str = "") -> tuple[list[RingContents], int]:
        """Return the contents of all ring files but `skip`, and how many could not be read, or not completely."""
        readers, self._readers = self._readers, {}
        found: list[RingContents] = []
        skipped = 0
        try:
            names = self._names(RING)
        except OSError:
            return [], 0
        for name in names:
            if name == skip:
                continue
            try:
                reader = readers.get(name) or RingReader()
                contents = read_ring(self.path / name, reader)
            except FileNotFoundError:
                continue  # Removed meanwhile.
            except (Unreadable, OSError):
                skipped += 1
                continue
            skipped += not contents.complete
            if contents.complete:
                # A damaged file is read from its start, until it is repaired.
                self._readers[name] = reader
            found.append(contents)
        return found, skipped

    def remove_dead(self) -> None:
        """
        Remove the files of workers that died long ago, and abandoned ones. Does nothing if another process is doing it.

        Raises:
            OSError: if a file cannot be removed.
        """
        if not self.path.is_dir():
            return
        descriptor = os.open(self.path / f"{self._prefix}-ring-lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if try_lock(descriptor):
                self._remove_dead()
        finally:
            os.close(descriptor)

    def _remove_dead(self) -> None:
        now = self._wall()
        dead = sorted(self._dead(), reverse=True)
        # If the clock went back, a file is of the future: it is kept, and the limit of their number applies.
        expired = [name for number, (at, name) in enumerate(dead) if number >= MAX_DEAD or now - at > MAX_DEAD_S]
        abandoned = []
        for name in self._names(UNFINISHED):
            with suppress(FileNotFoundError):
                if now - os.stat(self.path / name, follow_symlinks=False).st_mtime > _ABANDONED_S:
                    abandoned.append(name)
        for name in expired + abandoned:
            (self.path / name).unlink(missing_ok=True)

    def _dead(self) -> Iterator[tuple[float, str]]:
        """Yield the time of the last write and the name of each file whose worker is dead."""
        for name in self._names(RING):
            with suppress(FileNotFoundError, Unreadable):
                descriptor = _opened(self.path / name)
                try:
                    # A file of another program is not removed.
                    head_of(os.pread(descriptor, HEAD, 0))
                    if not is_alive(descriptor):
                        yield os.fstat(descriptor).st_mtime, name
                finally:
                    os.close(descriptor)

    def _names(self, suffix: str) -> list[str]:
        start = f"{self._prefix}-"
        with os.scandir(self.path) as found:
            return sorted(one.name for one in found if one.name.startswith(start) and one.name.endswith(suffix))


def read_ring(path: Path, reader: RingReader | None = None) -> RingContents:
    """
    Return the contents of a ring file. Entries that are damaged or incomplete are left out.

    Args:
        reader: knows what was read of the file before.

    Raises:
        Unreadable: if it is not a ring file.
        OSError: if it cannot be read.
    """
    descriptor = _opened(path)
    try:
        # Before the read: if the worker dies in between, the read still has all of its entries.
        alive = is_alive(descriptor)
        reader = reader or RingReader()
        complete = reader.read(descriptor)
    finally:
        os.close(descriptor)
    return RingContents(path.name, reader.head, alive, complete, reader)


def read(path: Path) -> Iterator[Entry]:
    """Yield the entries of a ring file in the order in which they were written; raises as `read_ring` does."""
    yield from read_ring(path).reader.entries()


def _opened(path: Path) -> int:
    try:
        descriptor = os.open(path, _FLAGS)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unreadable("it cannot be opened") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Unreadable("it is not a regular file")
    return descriptor


__all__ = ["MAX_DEAD", "MAX_DEAD_S", "RingContents", "RingDirectory", "read", "read_ring"]
