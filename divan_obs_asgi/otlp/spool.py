"""Batches on the disk, for a collector that is down: bounded, shared by workers, and readable by us alone."""

from __future__ import annotations

import errno
import os
import re
import stat
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from struct import Struct

from divan_obs_asgi.metrics.multiprocess.locks import HAS_LOCKS, try_lock, unlock
from divan_obs_asgi.otlp.answers import DropReason
from divan_obs_asgi.otlp.export_log import ExportLog

# The time comes first, so the order of names is the order of batches. The number of items is in the name as well: it is
# known even if the content is damaged.
_NAME = re.compile(r"(\.?)(\d{20})-\d{1,10}-\d{1,10}\.(\d{1,6})\.otlp")
_HEADER = Struct(">8sIIQ")
_MAGIC = b"divanot1"
_OPEN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_REMEMBERED = 1000
# A hidden file is being written. One that is older was left by a process that died.
_ABANDONED_AFTER_NS = 60 * 10**9
_sequence = count(1)


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """A batch that this process has locked. `remove` it when it is sent, or `release` it for the next attempt."""

    path: Path
    payload: bytes
    count: int
    descriptor: int

    def remove(self) -> None:
        # The lock is held until the file is gone, so nobody else can send it.
        with suppress(OSError):
            self.path.unlink()
        self.release()

    def release(self) -> None:
        _close(self.descriptor)


class Spool:
    """
    The batches of one signal in a directory of their own.

    A file belongs to the process that holds its lock, and only while it sends the file. So workers that share the
    directory send nothing twice, and a file of a dead worker is sent by any other one. Nothing here raises for a disk
    that is full, read-only or gone.

    Args:
        directory: made with mode 0700, together with its parents.
        max_bytes: the size of all files; the oldest are removed first. Several workers can exceed it by a batch each.
        dropped: called with the reason and the number of lost items.
        failed: called with an exception for a file that is not ours.
    """

    def __init__(
        self,
        directory: Path,
        max_bytes: int,
        dropped: Callable[[DropReason, int], None],
        failed: Callable[[Exception], None],
        log: ExportLog,
    ) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._dropped = dropped
        self._failed = failed
        self._log = log
        self._foreign: set[str] = set()

    def put(self, payload: bytes, items: int) -> bool:
        """Store a batch; return False if the disk does not take it."""
        size = _HEADER.size + len(payload)
        if not HAS_LOCKS or size > self._max_bytes:
            return False
        try:
            self._prepare()
            self._make_room(size)
            self._write(payload, items)
        except OSError as error:
            self._log.note_disk(f"cannot write ({errno.errorcode.get(error.errno or 0, type(error).__name__)})")
            return False
        self._log.note_disk("")
        return True

    def oldest(self) -> StoredBatch | None:
        """Return the oldest batch that no other process is sending, locked; None if there is none."""
        if not HAS_LOCKS:
            return None
        try:
            names = sorted(self._names())
        except OSError:
            return None  # No batch has been stored yet, or the disk is gone.
        for name in names:
            found = self._claimed(name)
            if found is not None:
                return found
        return None

    def _prepare(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = self._directory.lstat()
        if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "not a directory of this user")
        if stat.S_IMODE(state.st_mode) != 0o700:
            self._directory.chmod(0o700)

    def _names(self) -> Iterator[str]:
        """Yield the names of our files. Others are reported once, and left alone."""
        for name in os.listdir(self._directory):
            found = _NAME.fullmatch(name)
            if found is not None:
                if not found[1] or time.time_ns() - int(found[2]) > _ABANDONED_AFTER_NS:
                    yield name
            elif name not in self._foreign and len(self._foreign) < _REMEMBERED:
                self._foreign.add(name)
                self._failed(ForeignFile("a file in OBS_TELEMETRY_DIR is not ours"))

    def _write(self, payload: bytes, items: int) -> None:
        name = f"{time.time_ns():020d}-{os.getpid()}-{next(_sequence)}.{items}.otlp"
        hidden = self._directory / f".{name}"
        descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OPEN, 0o600)
        try:
            # A hidden file without a lock was left by a process that died while it wrote.
            try_lock(descriptor)
            content = memoryview(_HEADER.pack(_MAGIC, zlib.crc32(payload), items, len(payload)) + payload)
            while content:
                content = content[os.write(descriptor, content) :]
            hidden.rename(self._directory / name)
        except BaseException:
            with suppress(OSError):
                hidden.unlink()
            raise
        finally:
            _close(descriptor)

    def _make_room(self, size: int) -> None:
        sizes: dict[str, int] = {}
        for name in sorted(self._names()):
            with suppress(OSError):
                sizes[name] = (self._directory / name).lstat().st_size
        total = sum(sizes.values())
        for name, taken in sizes.items():
            if total + size <= self._max_bytes:
                return
            descriptor = self._locked(name)
            if descriptor is not None:
                StoredBatch(self._directory / name, b"", 0, descriptor).remove()
                self._dropped("disk_full", _count_of(name))
                total -= taken

    def _claimed(self, name: str) -> StoredBatch | None:
        descriptor = self._locked(name)
        if descriptor is None:
            return None
        path = self._directory / name
        payload = None if name.startswith(".") else _payload_of(descriptor)
        if payload is not None:
            return StoredBatch(path, payload, _count_of(name), descriptor)
        StoredBatch(path, b"", 0, descriptor).remove()
        self._dropped("damaged", _count_of(name))
        return None

    def _locked(self, name: str) -> int | None:
        """Return a descriptor of a file that this process has locked; None if another one has it, or has sent it."""
        try:
            descriptor = os.open(self._directory / name, os.O_RDONLY | os.O_NONBLOCK | _OPEN)
        except OSError:
            return None
        try:
            # Whoever had the lock before may have sent the file meanwhile, or given it its name.
            is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
            if is_file and try_lock(descriptor) and os.path.lexists(self._directory / name):
                return descriptor
        except OSError:
            pass
        _close(descriptor)
        return None


class ForeignFile(Exception):
    """A file in the directory that this library has not written."""


def _payload_of(descriptor: int) -> bytes | None:
    """Return the content of a file; None if it is not complete."""
    try:
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read()
        magic, checksum, _, length = _HEADER.unpack_from(content)
    except Exception:  # Too short, or an error of the disk.
        return None
    payload = content[_HEADER.size :]
    return payload if magic == _MAGIC and length == len(payload) and checksum == zlib.crc32(payload) else None


def _count_of(name: str) -> int:
    found = _NAME.fullmatch(name)
    return int(found[3]) if found is not None else 0


def _close(descriptor: int) -> None:
    with suppress(OSError):
        # A child that was forked meanwhile has a copy of the descriptor; without this it would keep the lock.
        unlock(descriptor)
    with suppress(OSError):
        os.close(descriptor)


__all__ = ["ForeignFile", "Spool", "StoredBatch"]
