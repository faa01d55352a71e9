"""Several workers of one service: each counts in a ledger of its own, and the page of each includes all workers."""

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
from divan_obs_asgi.metrics.multiprocess.archive import Failed, File, Snapshot, WorkerDirectory, outlives
from divan_obs_asgi.metrics.multiprocess.file_format import Damaged, Described
from divan_obs_asgi.metrics.multiprocess.locks import HAS_LOCKS
from divan_obs_asgi.metrics.multiprocess.merging import Merge, MergedFamily, Source
from divan_obs_asgi.metrics.multiprocess.process_series import ProcessSeries
from divan_obs_asgi.metrics.multiprocess.worker_file import Ledger

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
# Shorter than the usual scrape interval of 15 s.
_UPDATE_INTERVAL_S = 5.0

_logger = logging.getLogger("divan_obs_asgi.metrics")


class Workers:
    """
    The ledger of this worker, and the merged series of all workers.

    Args:
        directory: used by this service only; created if it is missing. Counts of an earlier run in it continue. If no
            file can be created in it, the metrics of each worker are on its own page only: a worker that refused to
            start would be restarted again and again.
        namespace: of the metrics; bundles with other namespaces can share the directory.
        max_series: the maximum number of label sets of a family that are kept of dead workers.

    Attributes:
        ledger: the ledger of this worker.

    Raises:
        ImproperlyConfigured: if the system has no file locks.
    """

    def __init__(self, directory: Path, namespace: str, max_series: int) -> None:
        if not HAS_LOCKS:
            raise ImproperlyConfigured(
                f"{VARIABLE} is {str(directory)!r}, but this system has no file locks, which workers need: unset it."
            )
        with suppress(OSError):
            directory.mkdir(parents=True, exist_ok=True)
        self._directory = WorkerDirectory(directory, namespace, max_series)
        self.ledger = Ledger(directory, namespace)
        self._is_alone = False
        self._share()
        if not self._is_alone:
            self._directory.archive_dead(_log)
        self._process = ProcessSeries(self.ledger)
        self._merge = Merge()
        self._archive: tuple[bytes | None, Source | None] = (None, None)
        self._sources: dict[tuple[str, bool], Source] = {}
        self._reading = threading.Lock()

    async def keep_updating(self, collectors: Callable[[], Sequence[Collector]]) -> None:
        """
        Update the series of this process (memory, processor time) until cancelled, and then once more.

        First archive the ledgers of dead workers: this worker may be a fork of a process that did so long ago.
        """
        # A limiter of its own: the application's sync functions may occupy all threads of the default one.
        limiter = anyio.CapacityLimiter(1)
        try:
            if not self._is_alone:
                await anyio.to_thread.run_sync(self._directory.archive_dead, _log, limiter=limiter)
            while True:
                await anyio.to_thread.run_sync(self._share, limiter=limiter)
                present = await anyio.to_thread.run_sync(collectors, limiter=limiter)
                await anyio.to_thread.run_sync(self._process.update, present, limiter=limiter)
                await anyio.sleep(_UPDATE_INTERVAL_S)
        finally:
            self._process.update(collectors())

    async def check(self) -> dict[str, object]:
        """
        Pass if the other workers can read the ledger of this one.

        Raises:
            ProbeFailed: if they cannot.
        """
        if self._is_alone:
            raise ProbeFailed("error")
        return {}

    def _share(self) -> None:
        """Create the file of this worker again if it is missing; log once if that fails."""
        if self.ledger.is_shared():
            return
        had_file = self.ledger.name != ""
        try:
            self._directory.path.mkdir(parents=True, exist_ok=True)
            self.ledger.restore()
        except OSError as error:
            if not self._is_alone:
                self._is_alone = True
                _logger.error(
                    "Cannot create a metrics file in %s (%s); the metrics of this worker are on its own page only.",
                    self._directory.path,
                    error.strerror,
                )
            return
        if self._is_alone or had_file:
            self._is_alone = False
            _logger.warning("Created a new metrics file in %s; other workers can read it again.", self._directory.path)

    @contextmanager
    def read(self, collectors: Sequence[Collector], failed: Failed) -> Iterator[None]:
        """Read the files of all workers. Until the context ends, no other thread reads them, and the merge is kept."""
        self._process.update(collectors)
        with self._reading:
            self._share()
            snapshot = self._snapshot(failed)
            self._add(snapshot, failed)
            yield
        if snapshot.needs_archiving:
            self._directory.archive_dead(failed)

    def merge_values(self) -> Iterator[None]:
        """Merge the numbers of each series, in steps that take half a millisecond."""
        for family in self._merge.families.values():
            yield from family.merge()

    def merged(self, collectors: Sequence[Collector], *, exemplars: bool) -> Iterator[Collector | MergedFamily]:
        """
        Yield the merged family of each collector.

        Collectors of the application are yielded as they are, with the series of this worker; exemplars are those of
        this worker, too.
        """
        names = set()
        for collector in collectors:
            described = [collector.described] if isinstance(collector, LimitedMetric) else self._process.of(collector)
            for one in described or ():
                names.add(one.full_name)
                family = self._merge.family(one)
                if exemplars and isinstance(collector, (LimitedCounter, LimitedHistogram)):
                    family.copy_exemplars(collector.children())
                yield family
            if described is None:
                yield collector
        # Families that only other workers have: a family is created when it is first used.
        others = {family.full_name: family for family in self._merge.families.values() if family.children()}
        yield from (family for name, family in others.items() if name not in names)

    def _snapshot(self, failed: Failed) -> Snapshot:
        """Return the files; if that of this worker is missing, its counts are added from memory."""
        try:
            snapshot = self._directory.snapshot(failed)
        except OSError as error:
            failed(error)
            snapshot = Snapshot(None, [], needs_archiving=False)
        if all(file.name != self.ledger.name for file in snapshot.ledgers):
            failed(FileNotFoundError(f"The metrics file of this worker is missing in {self._directory.path}."))
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
        _logger.error("Cannot read a metrics file of an earlier worker: %s. Its counts are lost.", error)
    else:
        _logger.error("Cannot archive the metrics files of earlier workers: %s. They are kept.", error)


__all__ = ["VARIABLE", "Workers"]
