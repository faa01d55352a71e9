"""Several workers of one service: each counts in a ledger of its own, and each tells of all."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import anyio
import anyio.to_thread
from prometheus_client.registry import Collector

from divan_obs_asgi.exceptions import ImproperlyConfigured, ProbeFailed
from divan_obs_asgi.metrics.limited import LimitedCounter, LimitedHistogram, LimitedMetric
from divan_obs_asgi.metrics.multiprocess.archive import Directory, Failed, File, Snapshot, outlives
from divan_obs_asgi.metrics.multiprocess.file_format import Damaged, Described
from divan_obs_asgi.metrics.multiprocess.locks import HAS_LOCKS
from divan_obs_asgi.metrics.multiprocess.merging import Merge, MergedFamily, Source
from divan_obs_asgi.metrics.multiprocess.process_series import ProcessSeries
from divan_obs_asgi.metrics.multiprocess.worker_file import Ledger

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
# Prometheus asks every 15 s.
_NOTED_EVERY_S = 5.0

_logger = logging.getLogger("divan_obs_asgi.metrics")


class Workers:
    """
    The ledger of this worker, and what all of them have counted.

    Args:
        directory: of this service alone, made where it is missing; what an earlier run of it has left there goes on.
            Where no file can be made in it, the metrics of each worker are on its own page only: a worker that refused
            to start would be started again and again, in a service that runs.
        namespace: of the metrics; bundles of other namespaces use the directory without meeting.
        max_series: label sets of a family that are kept of dead workers.

    Attributes:
        ledger: what this worker counts.

    Raises:
        ImproperlyConfigured: where the system has no file locks.
    """

    def __init__(self, directory: Path, namespace: str, max_series: int) -> None:
        if not HAS_LOCKS:
            raise ImproperlyConfigured(
                f"{VARIABLE} is {str(directory)!r}; several workers need a system with file locks. Unset it."
            )
        with suppress(OSError):
            directory.mkdir(parents=True, exist_ok=True)
        self._directory = Directory(directory, namespace, max_series)
        self.ledger = Ledger(directory, namespace)
        self._is_alone = False
        self._share()
        if not self._is_alone:
            self._directory.fold(_log)
        self._process = ProcessSeries(self.ledger)
        self._merge = Merge()
        self._archive: tuple[bytes | None, Source | None] = (None, None)
        self._sources: dict[tuple[str, bool], Source] = {}
        self._reading = threading.Lock()

    async def keep_noting(self, collectors: Callable[[], Sequence[Collector]]) -> None:
        """
        Note what the process tells of itself, memory and processor time, until cancelled and then once more.

        Before that, take dead workers' files into the archive: this one may be forked off one that did so long ago.
        """
        # The application's plain functions may hold all the threads that frameworks hand out.
        limiter = anyio.CapacityLimiter(1)
        try:
            if not self._is_alone:
                await anyio.to_thread.run_sync(self._directory.fold, _log, limiter=limiter)
            while True:
                await anyio.to_thread.run_sync(self._share, limiter=limiter)
                noted = await anyio.to_thread.run_sync(collectors, limiter=limiter)
                await anyio.to_thread.run_sync(self._process.note, noted, limiter=limiter)
                await anyio.sleep(_NOTED_EVERY_S)
        finally:
            self._process.note(collectors())

    async def check(self) -> dict[str, object]:
        """
        Pass while the other workers can see what this one counts.

        Raises:
            ProbeFailed: while they cannot.
        """
        if self._is_alone:
            raise ProbeFailed("error")
        return {}

    def _share(self) -> None:
        """Make the file of this worker again where it was taken away; log once if that fails."""
        if self.ledger.is_shared():
            return
        was_there = self.ledger.name != ""
        try:
            self._directory.path.mkdir(parents=True, exist_ok=True)
            self.ledger.restore()
        except OSError as error:
            if not self._is_alone:
                self._is_alone = True
                _logger.error(
                    "The metrics of this worker are on its own page only: no file can be made in %s (%s).",
                    self._directory.path,
                    error.strerror,
                )
            return
        if self._is_alone or was_there:
            self._is_alone = False
            _logger.warning("The metrics of this worker are shared again, by a new file in %s.", self._directory.path)

    @contextmanager
    def read(self, collectors: Sequence[Collector], failed: Failed) -> Iterator[None]:
        """Look what all workers say; until this is left, nobody else looks, and what they said stands."""
        self._process.note(collectors)
        with self._reading:
            self._share()
            snapshot = self._snapshot(failed)
            self._add(snapshot, failed)
            yield
        if snapshot.left:
            self._directory.fold(failed)

    def settling(self) -> Iterator[None]:
        """Make one value of what they say of each series, in steps that take half a millisecond."""
        for family in self._merge.families.values():
            yield from family.settling()

    def in_place_of(self, collectors: Sequence[Collector], *, exemplars: bool) -> Iterator[Collector | MergedFamily]:
        """
        Yield those of all workers in the place of this one's collectors.

        What stands for itself, an application's own collector, is this worker's alone; and so are exemplars.
        """
        told = set()
        for collector in collectors:
            described = [collector.described] if isinstance(collector, LimitedMetric) else self._process.of(collector)
            for one in described or ():
                told.add(one.full_name)
                family = self._merge.family(one)
                if exemplars and isinstance(collector, (LimitedCounter, LimitedHistogram)):
                    family.have_exemplars(collector.children())
                yield family
            if described is None:
                yield collector
        # What only others have: a family that is made when it is first needed.
        others = {family.full_name: family for family in self._merge.families.values() if family.children()}
        yield from (family for name, family in others.items() if name not in told)

    def _snapshot(self, failed: Failed) -> Snapshot:
        """Return the files, and what this worker has counted where its own one is not among them."""
        try:
            snapshot = self._directory.snapshot(failed)
        except OSError as error:
            failed(error)
            snapshot = Snapshot(None, [], left=False)
        if all(file.name != self.ledger.name for file in snapshot.ledgers):
            failed(FileNotFoundError(f"The file of this worker is gone from {self._directory.path}."))
            contents = self.ledger.contents()
            if contents is not None:
                snapshot.ledgers.append(File(self.ledger.name, contents, alive=True))
        return snapshot

    def _add(self, snapshot: Snapshot, failed: Failed) -> None:
        self._merge.begin()
        if snapshot.archive is not None:
            known, source = self._archive
            if source is None or known != snapshot.archive:
                source = Source(self._merge, takes=outlives)
            self._archive = (snapshot.archive, source if _added(source, snapshot.archive, failed) else None)
        before, self._sources = self._sources, {}
        for file in snapshot.ledgers:
            key = (file.name, file.alive)
            source = before.get(key) or Source(self._merge, takes=_everything if file.alive else outlives)
            if _added(source, file.data, failed):
                self._sources[key] = source


def _added(source: Source, data: bytes, failed: Failed) -> bool:
    try:
        source.add(data)
    except Damaged as error:
        failed(error)
        return False
    return True


def _everything(described: Described) -> bool:
    return True


def _log(error: Exception) -> None:
    if isinstance(error, Damaged):
        _logger.error("A file of earlier workers cannot be read; its series begin anew: %s.", error)
    else:
        _logger.error("The files of earlier workers stay as they are: %s.", error)


__all__ = ["VARIABLE", "Workers"]
