"""The other workers of a service that share PROMETHEUS_MULTIPROC_DIR: what is written for them, and read of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, cast

import anyio
import anyio.to_thread
import orjson

from divan_obs_asgi.console.details import details_of
from divan_obs_asgi.console.feed import COMPONENT
from divan_obs_asgi.console.limits import CHANGES, ERRORS, FAILED, LATEST, SLOWEST
from divan_obs_asgi.console.shapes import (
    Change,
    ErrorGroup,
    Forgotten,
    RequestDetails,
    RequestRow,
    Snapshot,
)
from divan_obs_asgi.console.store import Console
from divan_obs_asgi.console.workers.instance import Instance
from divan_obs_asgi.console.workers.ring_directory import RingContents, RingDirectory
from divan_obs_asgi.console.workers.ring_file import RingFile, size_for
from divan_obs_asgi.console.workers.ring_format import Entry

Fields: TypeAlias = dict[str, Any]

WRITE_S = 1.0
# Requests that a worker writes in a second: a page shows 50 every two seconds, of all workers.
_MOST_ROWS = 40
# Routes that a worker writes: those with the most traffic.
_MAX_ROUTES = 150
_REMOVE_EVERY_S = 30.0
# Several pages ask within a second; the files are read once for them.
_KEEP_S = 1.0
# The lane of each class of requests.
_KINDS = {"latest": "request", "failed": "failed", "slow": "slow"}
# Entries of each kind that are shown of a worker; a group of errors is written again when it has counted more.
_MOST = {"request": LATEST, "failed": FAILED, "slow": SLOWEST, "error": ERRORS * 4, "change": CHANGES, "state": 2}
_ROW = frozenset(RequestRow.__annotations__)
_KEYS = {"error": frozenset(ErrorGroup.__annotations__), "change": frozenset(Change.__annotations__)}
_NOTHING: Forgotten = {"requests": 0, "errors": 0, "changes": 0, "bytes": 0}


class _Parsed(NamedTuple):
    """
    An entry.

    Attributes:
        key: the id of what it describes.
        fields: None if it does not have the shape of its kind.
        opened: JSON of a request's details.
    """

    kind: str
    key: str
    changed: float
    fields: Any
    opened: bytes = b""


class _File(NamedTuple):
    """
    What is known of a ring file.

    Attributes:
        name: the beginning of the ids of its worker's requests.
        parsed: the entries by their sequence numbers.
        details: JSON of the details of its requests, by id.
    """

    name: str
    parsed: dict[int, _Parsed]
    snapshot: Snapshot
    details: dict[str, bytes]


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
        self._written_as = ""
        self._removed_at = self._read_at = float("-inf")
        self._files: dict[str, _File] = {}
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
        """Write what has changed since the last call, and at most so many requests; never raises."""
        try:
            for kind, fields, opened in self._changed(collected, limit):
                data = orjson.dumps(fields, default=str)
                self.ring.append(kind, data + b"\n" + opened if opened else data)
            self.ring.flush()
            name = self.ring.name
            if name and name != self._written_as:
                if self._written_as:
                    # A new file: after a fork, or because the directory was removed. The next call writes everything.
                    self._written = {}
                self._written_as = name
        except Exception as error:
            self._failed(error)

    def _changed(self, collected: Any, limit: int | None) -> Iterator[tuple[str, Fields, bytes]]:
        """Yield kind, fields and, for its second line, the JSON of the opened request; that line is read on demand."""
        console = self._console
        snapshot = console.snapshot(collected)
        entries = {entry.number: entry for entry in collected[0]}
        groups = {group["id"]: group for group in snapshot["errors"]}
        changed = snapshot["changed"]
        before, written = self._written, cast("dict[str, object]", {})
        self._written = written
        states = {
            row["id"]: (changed["requests"].get(row["id"], 0.0), tuple(row["classes"]), row["calls"])
            for row in snapshot["requests"]
        }
        unwritten = [row for row in snapshot["requests"] if before.get(row["id"]) != states[row["id"]]]
        if limit is not None and len(unwritten) > limit:
            # The failed and the slow ones first, and of each kind the newest; the others follow if they are still kept.
            unwritten.sort(key=lambda row: (row["classes"] != ["latest"], row["at"]))
            for row in unwritten[:-limit]:
                del states[row["id"]]
            unwritten = sorted(unwritten[-limit:], key=lambda row: row["at"])
        written.update(states)
        # One that was written late is as new to the pages as the others.
        now = console.now()
        for row in unwritten:
            entry = entries[int(row["id"].rpartition("-")[2])]
            details = details_of(entry, row, groups.get(row["error"]))
            opened = orjson.dumps(details, default=str)
            for name in row["classes"]:
                yield _KINDS[name], {"changed": now, "row": row}, opened
        lists: tuple[tuple[str, Iterable[Any], dict[str, float]], ...] = (
            ("error", snapshot["errors"], changed["errors"]),
            ("change", snapshot["changes"], changed["changes"]),
        )
        for kind, rows, stamps in lists:
            for row in rows:
                at = written[f"{kind} {row['id']}"] = stamps.get(row["id"], 0.0)
                if before.get(f"{kind} {row['id']}") != at:
                    yield kind, {"changed": at, "row": row}, b""
        routes = written["routes"] = snapshot["routes"]
        if before.get("routes") is not routes:
            yield "state", {"routes": routes[:_MAX_ROUTES]}, b""
        yield (
            "state",
            {
                "started": console.started,
                "stalls": snapshot["stalls"],
                "numbers": snapshot["numbers"],
                "forgotten": snapshot["forgotten"],
            },
            b"",
        )

    # What the others have written; called in threads.

    def snapshots(self) -> tuple[list[Snapshot], int]:
        """Return what the other workers keep, and how many files could not be read; never raises."""
        files, skipped = self._others()
        return [file.snapshot for file in files], skipped

    def details(self, request_id: str) -> RequestDetails | None:
        """Return a request of another worker; None if it is not kept."""
        for file in self._others()[0]:
            if request_id in file.details:
                return _opened(request_id, file.details[request_id])
        return None

    def _others(self) -> tuple[list[_File], int]:
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
            if known is None or known.name != name:
                self._files[contents.name] = _file(contents, name, {})
            elif contents.changed or known.snapshot["worker"]["alive"] != contents.alive:
                self._files[contents.name] = _file(contents, name, known.parsed)
            else:
                self._files[contents.name] = known


def _file(contents: RingContents, name: str, known: dict[int, _Parsed]) -> _File:
    """Return what is known of a file; `known` are the entries that were read before, with this name."""
    own = "" if name == str(contents.head.pid) else name
    parsed = {one.sequence: known.get(one.sequence) or _parsed(one, own) for one in contents.entries}
    details: dict[str, bytes] = {}
    return _File(name, parsed, _snapshot(contents, _newest(parsed.values()), details), details)


def _parsed(entry: Entry, name: str) -> _Parsed:
    """Read an entry; `name` replaces the beginning of the ids of requests, unless it is empty."""
    kind = entry.kind

    def renamed(request_id: str) -> str:
        return f"{name}-{request_id.rpartition('-')[2]}" if name else request_id

    try:
        head, _, opened = entry.data.partition(b"\n")
        fields = orjson.loads(head)
        if kind == "state":
            if not isinstance(fields, dict):
                return _Parsed(kind, "", 0.0, None)
            # The routes change less often, and are large.
            return _Parsed(kind, "routes" if "routes" in fields else "", 0.0, fields)
        changed, row = float(fields["changed"]), fields["row"]
        if kind in _KEYS:
            if _KEYS[kind] <= row.keys():
                if kind == "error":
                    row["requests"] = [renamed(str(id)) for id in row["requests"]]
                return _Parsed(kind, row["id"], changed, row)
        elif kind in _MOST and row.keys() >= _ROW:
            row["id"] = renamed(row["id"])
            return _Parsed(kind, row["id"], changed, row, opened)
    except (ValueError, LookupError, TypeError, AttributeError):
        pass  # Not written by this library.
    return _Parsed(kind, "", 0.0, None)


def _opened(request_id: str, data: bytes) -> RequestDetails | None:
    try:
        opened = orjson.loads(data)
        return cast(RequestDetails, {**opened, "request": {**opened["request"], "id": request_id}})
    except (ValueError, LookupError, TypeError):
        return None  # Not written by this library.


def _newest(entries: Iterable[_Parsed]) -> dict[str, dict[str, _Parsed]]:
    """Return the newest entries of each kind by their ids; a later entry of one id replaces the earlier one."""
    found: dict[str, dict[str, _Parsed]] = {kind: {} for kind in _MOST}
    for entry in entries:
        if entry.fields is not None:
            of_kind = found[entry.kind]
            of_kind.pop(entry.key, None)
            of_kind[entry.key] = entry
            if len(of_kind) > _MOST[entry.kind]:
                del of_kind[next(iter(of_kind))]
    return found


def _snapshot(contents: RingContents, newest: dict[str, dict[str, _Parsed]], details: dict[str, bytes]) -> Snapshot:
    """Return the snapshot of a worker, and add its requests to `details`."""
    head = contents.head
    requests: dict[str, RequestRow] = {}
    changed_requests: dict[str, float] = {}
    for kind in ("request", "slow", "failed"):
        for key, entry in newest[kind].items():
            if entry.changed >= changed_requests.get(key, 0.0):
                changed_requests[key] = entry.changed
                requests[key] = entry.fields
                details[key] = entry.opened
    errors = [one.fields for one in newest["error"].values()]
    state: Any = {key: part for one in newest["state"].values() for key, part in one.fields.items()}
    lists = {key: state[key] if isinstance(state.get(key), list) else [] for key in ("stalls", "routes")}
    numbers, forgotten = state.get("numbers"), state.get("forgotten")
    return {
        "worker": {"pid": head.pid, "started": head.started, "alive": contents.alive},
        "requests": list(requests.values()),
        "errors": errors,
        "changes": [one.fields for one in newest["change"].values()],
        "stalls": lists["stalls"],
        "numbers": numbers if isinstance(numbers, dict) else {},
        # A dead worker serves nothing.
        "routes": lists["routes"] if contents.alive else [],
        "forgotten": {**_NOTHING, **forgotten} if isinstance(forgotten, dict) else _NOTHING,
        "changed": {
            "requests": changed_requests,
            "errors": {one.key: one.changed for one in newest["error"].values()},
            "changes": {one.key: one.changed for one in newest["change"].values()},
        },
    }


__all__ = ["WRITE_S", "RingPeers"]
