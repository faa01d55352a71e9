"""
The directory of a service's workers: a ledger file for each worker, and an archive of the dead workers' ledgers.

Readers take no lock. A ledger is removed only after the archive that includes its series is written, and the archive
lists the ledgers that it includes. So a reader that finds a ledger both in the directory and in the list counts it
once. A reader whose ledger has disappeared, and is not in the list, starts again. A process that is killed during the
archiving leaves either the old archive or the new one.
"""

from __future__ import annotations

import os
import secrets
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from divan_obs_asgi.metrics.cardinality_limit import OVERFLOW
from divan_obs_asgi.metrics.multiprocess.file_format import (
    HEAD,
    Damaged,
    Described,
    archived_names,
    archived_text,
    family_text,
    head,
    record,
    series_text,
    used_of,
)
from divan_obs_asgi.metrics.multiprocess.locks import is_alive, try_lock
from divan_obs_asgi.metrics.multiprocess.merging import Merge, MergedChild, Source, exact_parts, merged_gauge
from divan_obs_asgi.metrics.multiprocess.worker_file import LEDGER, UNFINISHED

# A file that is still unfinished after this time was abandoned; writing one takes milliseconds.
_ABANDONED_S = 60.0
# Each retry means that a worker's ledger was archived during the read.
_TRIES = 100

Failed = Callable[[Exception], object]
ArchivedSeries: TypeAlias = tuple[Described, tuple[str, ...], list[float]]


@dataclass(frozen=True, slots=True)
class File:
    """A ledger as it was read: its bytes in use, and whether its process is alive."""

    name: str
    data: bytes
    alive: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """
    All files of a service at one moment.

    Attributes:
        archive: None if no worker has died yet.
        needs_archiving: whether there are ledgers to archive, or archived ones to remove.
    """

    archive: bytes | None
    ledgers: list[File]
    needs_archiving: bool


class WorkerDirectory:
    """The directory in which the workers of one service keep their ledgers and the archive."""

    def __init__(self, path: Path, prefix: str, max_series: int) -> None:
        self.path = path
        self.prefix = prefix
        self._max_series = max_series
        self._archive = path / f"{prefix}-archive"
        self._lock = path / f"{prefix}-lock"

    def snapshot(self, failed: Failed) -> Snapshot:
        """Return the files; a ledger that cannot be read is reported and skipped."""
        for _ in range(_TRIES):
            # In this order: a ledger that is archived in between is listed by the archive.
            names = self._names(LEDGER)
            archive, archived = self._read_archive(failed)
            with suppress(FileNotFoundError):
                ledgers = list(self._read_all(names - archived, failed))
                return Snapshot(archive, ledgers, sum(file.alive for file in ledgers) < len(names))
        raise FileNotFoundError(f"The files in {self.path} change faster than they can be read.")

    def archive_dead(self, failed: Failed) -> None:
        """
        Move the dead workers' ledgers into the archive. Does nothing if another process is doing it.

        If the disk is full or not writable, this is reported, and the ledgers stay.
        """
        try:
            with self._locked() as is_locked:
                if is_locked:
                    self._archive_dead(failed)
        except OSError as error:
            failed(error)

    def _archive_dead(self, failed: Failed) -> None:
        self._remove_abandoned()
        archive, archived = self._read_archive(failed, remove=True)
        self._remove(archived)
        dead = [file for file in self._read_all(self._names(LEDGER) - archived, failed, dead=True) if not file.alive]
        if dead:
            self._write_archive(_archived(archive, dead, self._max_series, failed), [file.name for file in dead])
            self._remove(file.name for file in dead)

    def _names(self, suffix: str) -> set[str]:
        with os.scandir(self.path) as entries:
            start = f"{self.prefix}-"
            return {entry.name for entry in entries if entry.name.startswith(start) and entry.name.endswith(suffix)}

    def _read_archive(self, failed: Failed, *, remove: bool = False) -> tuple[bytes | None, frozenset[str]]:
        """Return the archive, and the names of the ledgers that it includes."""
        try:
            data = self._archive.read_bytes()
            return data, archived_names(data)
        except FileNotFoundError:
            return None, frozenset()
        except Damaged as error:
            failed(error)
            if remove:
                self._remove([self._archive.name])
            return None, frozenset()

    def _read_all(self, names: Iterable[str], failed: Failed, *, dead: bool = False) -> Iterator[File]:
        """Yield each ledger, or only those of dead workers."""
        for name in sorted(names):
            descriptor = os.open(self.path / name, os.O_RDONLY)
            try:
                # Before the read: if the worker dies in between, the read still has all of its counts.
                alive = is_alive(descriptor)
                if not (alive and dead):
                    used = used_of(os.pread(descriptor, HEAD, 0))
                    if used > os.fstat(descriptor).st_size:
                        raise Damaged("it is truncated")
                    yield File(name, os.pread(descriptor, used, 0), alive)
            except Damaged as error:
                failed(error)
                if dead:
                    self._remove([name])
            finally:
                os.close(descriptor)

    def _write_archive(self, series: Iterable[ArchivedSeries], names: Iterable[str]) -> None:
        records = [record(archived_text(names), ())]
        numbers: dict[str, int] = {}
        for described, labels, values in series:
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
    def _locked(self) -> Iterator[bool]:
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            yield try_lock(descriptor)
        finally:
            os.close(descriptor)


def _archived(archive: bytes | None, dead: Iterable[File], max_series: int, failed: Failed) -> Iterator[ArchivedSeries]:
    """Return the series of a new archive: those of the old one and those of dead workers."""
    merge = Merge()
    merge.begin()
    for data in ([] if archive is None else [archive]) + [file.data for file in dead]:
        try:
            Source(merge, takes=outlives).add(data)
        except Damaged as error:
            failed(error)
    merge.keep_newest()
    return _bounded(merge, max_series)


def _bounded(merge: Merge, max_series: int) -> Iterator[ArchivedSeries]:
    """
    Yield family, label set and numbers of each series. Sums are written as several numbers, so that they stay exact.

    At most `max_series` label sets of a family are kept. Further ones are added to `__overflow__`; those of a gauge are
    dropped.
    """
    for family in merge.families.values():
        kept = family.all()[: max_series - 1]
        over = family.all()[max_series - 1 :]
        described = family.described
        if described.family.kind == "gauge":
            for child in kept:
                yield from _archived_gauge(described, child)
            continue
        for child in kept:
            yield described, child.labels, _exact_sum(child.parts)
        if over:
            labels = (OVERFLOW,) * len(described.family.labels)
            yield described, labels, _exact_sum([part for child in over for part in child.parts])


def _archived_gauge(described: Described, child: MergedChild) -> Iterator[ArchivedSeries]:
    value = merged_gauge(described.family.mode, child.parts)
    if value is not None:
        yield described, child.labels, [value, max(at for _, at in child.parts)]


def _exact_sum(parts: Sequence[array[float]]) -> list[float]:
    *columns, created = zip(*parts, strict=True)
    sums = [exact_parts(column) for column in columns]
    since = min(filter(None, created), default=0.0)
    numbers: list[float] = []
    for at in range(max(map(len, sums))):
        numbers += [partials[at] if at < len(partials) else 0.0 for partials in sums]
        numbers.append(0.0 if at else since)
    return numbers


def outlives(described: Described) -> bool:
    """Return whether the series of a family are exposed after the death of their worker."""
    return described.family.kind != "gauge" or not described.family.mode.startswith("live")


__all__ = ["Failed", "File", "Snapshot", "WorkerDirectory", "outlives"]
