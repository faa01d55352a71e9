"""
The files of a service's workers, the dead ones' folded into one.

Whoever reads takes no lock. A file is removed only when the archive that has its series stands in its place, and the
archive names the files that it was made of. So whoever finds a file both there and named counts it once, and whoever
finds one gone that its archive does not name begins again. A process that is killed while it folds leaves either the
old archive or the new one.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from divan_obs_asgi.metrics.multiprocess.file_format import (
    HEAD,
    Damaged,
    Described,
    family_text,
    folded_of,
    folded_text,
    head,
    record,
    series_text,
    used_of,
)
from divan_obs_asgi.metrics.multiprocess.folding import folded
from divan_obs_asgi.metrics.multiprocess.locks import is_alive, is_mine
from divan_obs_asgi.metrics.multiprocess.merging import Merge, Source
from divan_obs_asgi.metrics.multiprocess.worker_file import LEDGER, UNFINISHED

# What is made in a moment, and is still not finished after this time, never will be.
_ABANDONED_S = 60.0
# Each means that a worker has died at this very moment.
_TRIES = 100

Failed = Callable[[Exception], object]


@dataclass(frozen=True, slots=True)
class File:
    """A file as it was read: its bytes in use, and whether its process lives."""

    name: str
    data: bytes
    alive: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """
    All files of a service at one moment.

    Attributes:
        archive: None where no worker has died yet.
        left: whether there is something to fold, or to remove since a process was killed while it folded.
    """

    archive: bytes | None
    ledgers: list[File]
    left: bool


class Directory:
    """Where the workers of one service keep their ledgers and archive."""

    def __init__(self, path: Path, prefix: str, max_series: int) -> None:
        self.path = path
        self.prefix = prefix
        self._max_series = max_series
        self._archive = path / f"{prefix}-archive"
        self._lock = path / f"{prefix}-lock"

    def snapshot(self, failed: Failed) -> Snapshot:
        """Return the files; a ledger that cannot be read is reported and left out."""
        for _ in range(_TRIES):
            # In this order: what is folded in between is named by the archive.
            names = self._names(LEDGER)
            archive, done = self._read_archive(failed)
            with suppress(FileNotFoundError):
                ledgers = list(self._read_all(names - done, failed))
                return Snapshot(archive, ledgers, sum(file.alive for file in ledgers) < len(names))
        raise FileNotFoundError(f"The files in {self.path} change faster than they can be read.")

    def fold(self, failed: Failed) -> None:
        """
        Take the dead workers' ledgers into the archive; does nothing where somebody else is at it.

        Where the disk is full or may not be written to, that is reported, and they are told from their files.
        """
        try:
            with self._alone() as alone:
                if alone:
                    self._fold(failed)
        except OSError as error:
            failed(error)

    def _fold(self, failed: Failed) -> None:
        self._remove_abandoned()
        archive, done = self._read_archive(failed, remove=True)
        self._remove(done)
        dead = [file for file in self._read_all(self._names(LEDGER) - done, failed, dead=True) if not file.alive]
        if dead:
            self._write_archive(_kept(archive, dead, self._max_series, failed), [file.name for file in dead])
            self._remove(file.name for file in dead)

    def _names(self, suffix: str) -> set[str]:
        with os.scandir(self.path) as entries:
            start = f"{self.prefix}-"
            return {entry.name for entry in entries if entry.name.startswith(start) and entry.name.endswith(suffix)}

    def _read_archive(self, failed: Failed, *, remove: bool = False) -> tuple[bytes | None, frozenset[str]]:
        """Return the archive, and the names of the ledgers that it was made of."""
        try:
            data = self._archive.read_bytes()
            return data, folded_of(data)
        except FileNotFoundError:
            return None, frozenset()
        except Damaged as error:
            failed(error)
            if remove:
                self._remove([self._archive.name])
            return None, frozenset()

    def _read_all(self, names: Iterable[str], failed: Failed, *, dead: bool = False) -> Iterator[File]:
        """Yield each ledger, or the dead ones only."""
        for name in sorted(names):
            descriptor = os.open(self.path / name, os.O_RDONLY)
            try:
                # Before it is read: of one that dies in between all is read.
                alive = is_alive(descriptor)
                if not (alive and dead):
                    used = used_of(os.pread(descriptor, HEAD, 0))
                    if used > os.fstat(descriptor).st_size:
                        raise Damaged("it is cut off")
                    yield File(name, os.pread(descriptor, used, 0), alive)
            except Damaged as error:
                failed(error)
                if dead:
                    self._remove([name])
            finally:
                os.close(descriptor)

    def _write_archive(
        self, kept: Iterable[tuple[Described, tuple[str, ...], list[float]]], names: Iterable[str]
    ) -> None:
        records = [record(folded_text(names), ())]
        numbers: dict[str, int] = {}
        for described, labels, values in kept:
            text = family_text(described)
            if text not in numbers:
                numbers[text] = len(numbers)
                records.append(record(text, ()))
            records.append(record(series_text(numbers[text], labels), values))
        body = b"".join(records)
        unfinished = self.path / f"{self.prefix}-archive-{secrets.token_hex(8)}{UNFINISHED}"
        try:
            unfinished.write_bytes(head(HEAD + len(body)) + body)
            os.replace(unfinished, self._archive)
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise

    def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            (self.path / name).unlink(missing_ok=True)

    def _remove_abandoned(self) -> None:
        before = time.time() - _ABANDONED_S
        for name in self._names(UNFINISHED):
            with suppress(FileNotFoundError):
                if (self.path / name).stat().st_mtime < before:
                    self._remove([name])

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            yield is_mine(descriptor)
        finally:
            os.close(descriptor)


def _kept(
    archive: bytes | None, dead: Iterable[File], max_series: int, failed: Failed
) -> Iterator[tuple[Described, tuple[str, ...], list[float]]]:
    merge = Merge()
    merge.begin()
    for data in ([] if archive is None else [archive]) + [file.data for file in dead]:
        try:
            Source(merge, takes=outlives).add(data)
        except Damaged as error:
            failed(error)
    merge.keep_newest()
    return folded(merge, max_series)


def outlives(described: Described) -> bool:
    """Tell whether a family's series are told after the death of their worker."""
    return described.family.kind != "gauge" or not described.family.mode.startswith("live")


__all__ = ["Directory", "Failed", "File", "Snapshot", "outlives"]
