"""The other workers of a service that share PROMETHEUS_MULTIPROC_DIR: what is written for them, and read of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeAlias, cast

import anyio
import anyio.to_thread
import orjson

from divan_obs_asgi.console.details import details_of
from divan_obs_asgi.console.feed import COMPONENT
from divan_obs_asgi.console.requests import Entry
from divan_obs_asgi.console.shapes import (
    RequestDetails,
    Snapshot,
)
from divan_obs_asgi.console.store import Console
from divan_obs_asgi.console.workers.instance import Instance
from divan_obs_asgi.console.workers.peer_file import PeerFile
from divan_obs_asgi.console.workers.ring_directory import RingDirectory
from divan_obs_asgi.console.workers.ring_file import RingFile, size_for

Fields: TypeAlias = dict[str, Any]

WRITE_S = 1.0
# Ordinary requests that a worker writes in a second, and how many times as many failed and slow ones: a page is sent
# about 50 every two seconds, of all workers.
_MOST_ROWS = 10
_NOTABLE = 4
# Routes that a worker writes: those with the most traffic.
_MAX_ROUTES = 150
_REMOVE_EVERY_S = 30.0
# Several pages ask within a second; the files are read once for them.
_KEEP_S = 1.0
# The lane of each class of requests.
_KINDS = {"slow": "slow", "failed": "failed", "latest": "request"}


class RingPeers:
    """
    The other workers; see `Peers`.

    Args:
        directory: of PROMETHEUS_MULTIPROC_DIR.
        clock: seconds, monotonic.
    """

    def __init__(
        self, console: Console, directory: Path, prefix: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        obs = console.obs
        self._console = console
        self._failed = partial(obs.faults.report, COMPONENT)
        self._clock = clock
        self._instance = Instance(directory / f"{prefix}-ring-instance")
        self._directory = RingDirectory(directory, prefix)
        self.ring = RingFile(directory, prefix, size_for(obs.settings.console.max_bytes), self._failed)
        self._written: dict[str, object] = {}
        self._written_requests: dict[int, tuple[float, tuple[str, ...], int]] = {}
        self._written_as = ""
        self._removed_at = self._read_at = float("-inf")
        self._files: dict[str, PeerFile] = {}
        self._skipped = 0
        self._reading = threading.Lock()

    @property
    def instance(self) -> str:
        return self._instance.id

    # What this worker writes.

    async def run(self) -> None:
        """Write what has changed once a second until cancelled, and once more then."""
        limiter = anyio.CapacityLimiter(1)
        try:
            while True:
                await anyio.to_thread.run_sync(self.write, self._console.collect(), limiter=limiter)
                await anyio.sleep(WRITE_S)
        finally:
            self.write(self._console.collect(), None)

    def write(self, collected: Any, limit: int | None = _MOST_ROWS) -> None:
        """Write what has changed since the last call, and at most so many ordinary requests; never raises."""
        try:
            for kind, fields, opened in self._changed(collected, limit):
                data = orjson.dumps(fields, default=str)
                self.ring.append(kind, data + b"\n" + opened if opened else data)
            self.ring.flush()
            name = self.ring.name
            if name and name != self._written_as:
                if self._written_as:
                    # A new file: after a fork, or because the directory was removed. The next call writes everything.
                    self._written, self._written_requests = {}, {}
                self._written_as = name
        except Exception as error:
            self._failed(error)

    def _changed(self, collected: Any, limit: int | None) -> Iterator[tuple[str, Fields, bytes]]:
        """Yield kind, fields and, for its second line, the JSON of the opened request; that line is read on demand."""
        console = self._console
        entries, classes, groups = collected
        before, written = self._written, cast("dict[str, object]", {})
        self._written = written
        # One that was written late is as new to the pages as the others.
        now = console.now()
        known = {group.id: group for group in groups}
        for entry in self._unwritten(entries, classes, limit):
            row = console.request_row(entry, classes)
            group = known.get(row["error"])
            details = details_of(entry, row, None if group is None else console.group_row(group))
            opened = orjson.dumps(details, default=str)
            # In one lane only: that of which the fewest requests are written.
            kind = next(kind for name, kind in _KINDS.items() if name in row["classes"])
            yield kind, {"changed": now, "row": row}, opened
        for group in groups:
            at = written[f"error {group.id}"] = group.changed
            if before.get(f"error {group.id}") != at:
                yield "error", {"changed": at, "row": console.group_row(group)}, b""
        for change in tuple(console.changes.kept):
            at = written[f"change {change.change['id']}"] = change.changed
            if before.get(f"change {change.change['id']}") != at:
                yield "change", {"changed": at, "row": change.change}, b""
        # Each is the same object until the next step.
        routes = written["routes"] = console.routes.rows(now)
        if before.get("routes") is not routes:
            yield "state", {"routes": routes[:_MAX_ROUTES]}, b""
        numbers = written["numbers"] = console.series.numbers()
        if before.get("numbers") is not numbers:
            yield "state", {"numbers": numbers}, b""
        yield (
            "state",
            {
                "started": console.started,
                "stalls": list(console.changes.stalls),
                "forgotten": console.forgotten(entries),
            },
            b"",
        )

    def _unwritten(self, entries: list[Entry], classes: dict[int, list[str]], limit: int | None) -> list[Entry]:
        """Return the requests to write now, the oldest first: the newest that have not been written as they are."""
        before, self._written_requests = self._written_requests, {}
        ordinary: list[Entry] = []
        notable: list[Entry] = []
        for entry in entries:
            number, of_entry = entry.number, classes.get(entry.number, [])
            state = entry.changed, tuple(of_entry), entry.call_count
            if before.get(number) == state:
                self._written_requests[number] = state
            else:
                (ordinary if of_entry == ["latest"] else notable).append(entry)
        if limit is not None:
            # The others follow, if they are still kept.
            ordinary, notable = ordinary[-limit:], notable[-_NOTABLE * limit :]
        found = sorted((*ordinary, *notable), key=attrgetter("number"))
        for entry in found:
            of_entry = classes.get(entry.number, [])
            self._written_requests[entry.number] = entry.changed, tuple(of_entry), entry.call_count
        return found

    # What the others have written; called in threads.

    def snapshots(self) -> tuple[list[Snapshot], int]:
        """Return what the other workers keep, and how many files could not be read; never raises."""
        files, skipped = self._others()
        return [file.snapshot for file in files], skipped

    def details(self, request_id: str) -> RequestDetails | None:
        """Return a request of another worker; None if it is not kept."""
        found = (file.opened(request_id) for file in self._others()[0])
        return next((one for one in found if one is not None), None)

    def _others(self) -> tuple[list[PeerFile], int]:
        with self._reading:
            now = self._clock()
            if not 0 <= now - self._read_at < _KEEP_S:
                self._read_at = now
                try:
                    self._remove_dead(now)
                    self._read_files()
                except Exception as error:
                    self._failed(error)
            return list(self._files.values()), self._skipped

    def _remove_dead(self, now: float) -> None:
        if now - self._removed_at >= _REMOVE_EVERY_S:
            self._removed_at = now
            self._directory.remove_dead()

    def _read_files(self) -> None:
        files, self._skipped = self._directory.read(self.ring.name)
        before, self._files = self._files, {}
        # In a container each start has the same process id. Of two workers with one id, the living one keeps it.
        taken = {self._console.pid}
        for contents in sorted(files, key=lambda one: (not one.alive, -one.head.started)):
            pid = contents.head.pid
            name = str(pid) if pid not in taken else f"{pid}s{int(contents.head.started)}"
            taken.add(pid)
            known = before.get(contents.name)
            if known is None or not known.is_of(contents, name):
                known = PeerFile(contents, name)
            else:
                known.update(contents)
            self._files[contents.name] = known


__all__ = ["WRITE_S", "RingPeers"]
