"""The console of all workers, from the snapshot of this one and the ring files of the others."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import orjson

from divan_obs_asgi.console import limits
from divan_obs_asgi.console.shapes import RequestRow, Worker, Workers
from divan_obs_asgi.console.workers.merging import (
    Fields,
    merged_errors,
    merged_numbers,
    newest_first,
    sum_of_counts,
)
from divan_obs_asgi.console.workers.ring_directory import RingContents, RingDirectory
from divan_obs_asgi.console.workers.ring_file import RingFile
from divan_obs_asgi.console.workers.ring_format import Entry

# Kinds of entries that are requests; each has a lane of its own in the file.
REQUEST_KINDS = frozenset({"request", "failed", "slow"})
_ROW = frozenset(RequestRow.__annotations__)
_MOST = {
    "request": limits.LATEST,
    "failed": limits.FAILED,
    "slow": limits.SLOWEST,
    # A group is written again when it has counted more.
    "error": limits.ERRORS * 4,
    "change": limits.CHANGES,
    "state": 1,
}
_REMOVE_EVERY_S = 30.0
# Several pages ask within a second; the files are read once for them.
_KEEP_S = 1.0


@dataclass(frozen=True, slots=True)
class WorkerSnapshot:
    """
    What one worker has kept.

    Attributes:
        details: what GET /ops/console/requests/{id} returns, by id.
        state: the last entry of the kind "state", which replaces the former one: `numbers`, `forgotten`, and what else
            the worker has written.
    """

    pid: int
    started: float
    alive: bool = True
    requests: list[Fields] = field(default_factory=list)
    details: dict[str, Fields] = field(default_factory=dict)
    errors: list[Fields] = field(default_factory=list)
    changes: list[Fields] = field(default_factory=list)
    state: Fields = field(default_factory=dict)

    def of_state(self, name: str) -> Fields:
        """Return a part of `state`; empty if it is missing."""
        part = self.state.get(name)
        return part if isinstance(part, dict) else {}


@dataclass(frozen=True, slots=True)
class MergedSnapshot:
    """
    What all workers have kept.

    Attributes:
        workers: the part `workers` of the state.
        others: the snapshots of the other workers, for parts that the caller merges itself.
    """

    workers: Workers
    requests: list[Fields]
    errors: list[Fields]
    changes: list[Fields]
    numbers: dict[str, Fields]
    forgotten: dict[str, int]
    others: list[WorkerSnapshot]


class _Parsed(NamedTuple):
    sequence: int
    kind: str
    fields: Fields | None
    row: Fields


class WorkerSnapshots:
    """
    Merges what all workers of a service have kept.

    It reads files: call it in a thread. An entry is parsed once.

    Args:
        ring: the ring file of this worker; it is not read, since the caller has its contents.
        prefix: as for `ring`.
        failed: called with each failure.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        ring: RingFile,
        directory: Path,
        prefix: str,
        failed: Callable[[Exception], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ring = ring
        self._directory = RingDirectory(directory, prefix)
        self._failed = failed
        self._clock = clock
        self._removed_at = -_REMOVE_EVERY_S
        self._read_at = -_KEEP_S
        self._parsed: dict[str, dict[bytes, _Parsed]] = {}
        self._others: list[WorkerSnapshot] = []
        self._skipped = 0
        self._reading = threading.Lock()

    def merged(self, own: WorkerSnapshot) -> MergedSnapshot:
        """Return what all workers have kept; `own` is the snapshot of this worker. Never raises."""
        others, skipped = self.read_others()
        return merge(own, others, skipped)

    def details(self, id: str) -> Fields | None:
        """Return a request of another worker, with its calls and lines; None if it is unknown or forgotten."""
        others, _ = self.read_others()
        return next((other.details[id] for other in others if id in other.details), None)

    def read_others(self) -> tuple[list[WorkerSnapshot], int]:
        """Return the snapshots of the other workers, and how many files were skipped. Never raises."""
        with self._reading:
            now = self._clock()
            if not 0 <= now - self._read_at < _KEEP_S:
                self._read_at = now
                self._remove_dead(now)
                try:
                    self._read()
                except Exception as error:
                    self._failed(error)
            return self._others, self._skipped

    def _read(self) -> None:
        files, self._skipped = self._directory.read(self._ring.name, lambda name: self._parsed.get(name, {}))
        parsed: dict[str, dict[bytes, _Parsed]] = {}
        for contents in files:
            known = self._parsed.get(contents.name, {})
            parsed[contents.name] = {entry.head: known.get(entry.head) or _parsed(entry) for entry in contents.entries}
        self._parsed = parsed
        self._others = [_snapshot(contents, parsed[contents.name].values()) for contents in files]

    def _remove_dead(self, now: float) -> None:
        if now - self._removed_at < _REMOVE_EVERY_S:
            return
        self._removed_at = now
        try:
            self._directory.remove_dead()
        except OSError as error:
            self._failed(error)


def merge(own: WorkerSnapshot, others: Sequence[WorkerSnapshot] = (), skipped: int | None = None) -> MergedSnapshot:
    """
    Return what all workers have kept. The numbers are those of the living ones.

    Args:
        skipped: the number of skipped files; None without a shared directory, where the others are unknown.
    """
    everyone = [own, *others]
    listed: list[Worker] = [{"pid": one.pid, "started": one.started, "alive": one.alive} for one in everyone]
    return MergedSnapshot(
        {
            "known": skipped is not None,
            "answering": own.pid,
            "list": sorted(listed, key=lambda one: (not one["alive"], one["pid"], one["started"])),
            "skipped_files": skipped or 0,
        },
        newest_first(one.requests for one in everyone),
        merged_errors(one.errors for one in everyone),
        newest_first(one.changes for one in everyone),
        merged_numbers([one.of_state("numbers") for one in everyone if one.alive]),
        sum_of_counts(one.of_state("forgotten") for one in everyone),
        list(others),
    )


def _parsed(entry: Entry) -> _Parsed:
    try:
        fields = orjson.loads(entry.data)
    except orjson.JSONDecodeError:
        fields = None
    kind = entry.kind
    row: Fields = {}
    if isinstance(fields, dict):
        # Another version of the service, or another program, may have written it.
        request = fields.get("request")
        if kind in REQUEST_KINDS and isinstance(request, dict) and isinstance(request.get("id"), str):
            row = {name: value for name, value in request.items() if name in _ROW}
        elif kind in ("error", "change") and isinstance(fields.get("id"), str):
            row = fields
    return _Parsed(entry.sequence, kind, fields if row or (kind == "state" and isinstance(fields, dict)) else None, row)


def _snapshot(contents: RingContents, entries: Collection[_Parsed]) -> WorkerSnapshot:
    """Return a worker's snapshot, with as many entries of each kind as the worker itself keeps."""
    newest: dict[str, deque[_Parsed]] = {kind: deque(maxlen=most) for kind, most in _MOST.items()}
    for entry in entries:
        if entry.fields is not None:
            newest[entry.kind].append(entry)
    requests = [one for kind in sorted(REQUEST_KINDS, reverse=True) for one in newest[kind]]
    # A request of several classes was written for each; the last of these has all of its classes.
    requests.sort(key=lambda one: one.sequence)
    by_id = {one.row["id"]: one for one in requests}
    return WorkerSnapshot(
        contents.head.pid,
        contents.head.started,
        contents.alive,
        [one.row for one in by_id.values()],
        {id: one.fields for id, one in by_id.items() if one.fields is not None},
        [one.row for one in newest["error"]],
        [one.row for one in newest["change"]],
        next((one.fields for one in newest["state"] if one.fields is not None), {}),
    )


__all__ = ["REQUEST_KINDS", "MergedSnapshot", "WorkerSnapshot", "WorkerSnapshots", "merge"]
