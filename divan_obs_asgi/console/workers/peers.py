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
# Routes that a worker writes: those with the most traffic.
_MAX_ROUTES = 150
_REMOVE_EVERY_S = 30.0
# Several pages ask within a second; the files are read once for them.
_KEEP_S = 1.0
# The lane of each class of requests.
_KINDS = {"latest": "request", "failed": "failed", "slow": "slow"}
# Entries of each kind that are shown of a worker; a group of errors is written again when it has counted more.
_MOST = {"request": LATEST, "failed": FAILED, "slow": SLOWEST, "error": ERRORS * 4, "change": CHANGES, "state": 1}
_ROW = tuple(RequestRow.__annotations__)
_KEYS = {"error": frozenset(ErrorGroup.__annotations__), "change": frozenset(Change.__annotations__)}
_NOTHING: Forgotten = {"requests": 0, "errors": 0, "changes": 0, "bytes": 0}


class _Parsed(NamedTuple):
    """An entry; `fields` is None if it does not have the shape of its kind. `key` is the id of what it describes."""

    kind: str
    key: str
    changed: float
    fields: Any


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
        self._parsed: dict[str, dict[int, _Parsed]] = {}
        self._read: tuple[list[Snapshot], dict[str, RequestDetails], int] = ([], {}, 0)
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
            self.write(self._console.collect())

    def write(self, collected: Any) -> None:
        """Write what has changed since the last call; never raises."""
        try:
            for kind, fields in self._changed(collected):
                self.ring.append(kind, orjson.dumps(fields, default=str))
            self.ring.flush()
            name = self.ring.name
            if name and name != self._written_as:
                if self._written_as:
                    # A new file: after a fork, or because the directory was removed. The next call writes everything.
                    self._written = {}
                self._written_as = name
        except Exception as error:
            self._failed(error)

    def _changed(self, collected: Any) -> Iterator[tuple[str, Fields]]:
        console = self._console
        snapshot = console.snapshot(collected)
        entries = {entry.number: entry for entry in collected[0]}
        groups = {group["id"]: group for group in snapshot["errors"]}
        changed = snapshot["changed"]
        before, written = self._written, cast("dict[str, object]", {})
        self._written = written
        for row in snapshot["requests"]:
            at = changed["requests"].get(row["id"], 0.0)
            written[row["id"]] = state = at, tuple(row["classes"]), row["calls"]
            if before.get(row["id"]) != state:
                entry = entries[int(row["id"].rpartition("-")[2])]
                details = details_of(entry, row, groups.get(row["error"]))
                for name in row["classes"]:
                    yield _KINDS[name], {"changed": at, "details": details}
        lists: tuple[tuple[str, Iterable[Any], dict[str, float]], ...] = (
            ("error", snapshot["errors"], changed["errors"]),
            ("change", snapshot["changes"], changed["changes"]),
        )
        for kind, rows, stamps in lists:
            for row in rows:
                at = written[f"{kind} {row['id']}"] = stamps.get(row["id"], 0.0)
                if before.get(f"{kind} {row['id']}") != at:
                    yield kind, {"changed": at, "row": row}
        yield (
            "state",
            {
                "started": console.started,
                "stalls": snapshot["stalls"],
                "numbers": snapshot["numbers"],
                "routes": snapshot["routes"][:_MAX_ROUTES],
                "forgotten": snapshot["forgotten"],
            },
        )

    # What the others have written; called in threads.

    def snapshots(self) -> tuple[list[Snapshot], int]:
        """Return what the other workers keep, and how many files could not be read; never raises."""
        snapshots, _, skipped = self._others()
        return snapshots, skipped

    def details(self, request_id: str) -> RequestDetails | None:
        """Return a request of another worker; None if it is not kept."""
        return self._others()[1].get(request_id)

    def _others(self) -> tuple[list[Snapshot], dict[str, RequestDetails], int]:
        with self._reading:
            now = self._clock()
            if not 0 <= now - self._read_at < _KEEP_S:
                self._read_at = now
                try:
                    self._remove_dead(now)
                    self._read = self._read_files()
                except Exception as error:
                    self._failed(error)
            return self._read

    def _remove_dead(self, now: float) -> None:
        if now - self._removed_at >= _REMOVE_EVERY_S:
            self._removed_at = now
            self._directory.remove_dead()

    def _read_files(self) -> tuple[list[Snapshot], dict[str, RequestDetails], int]:
        files, skipped = self._directory.read(self.ring.name)
        parsed: dict[str, dict[int, _Parsed]] = {}
        for contents in files:
            known = self._parsed.get(contents.name, {})
            if contents.changed or not known:
                known = {one.sequence: known.get(one.sequence) or _parsed(one) for one in contents.entries}
            parsed[contents.name] = known
        self._parsed = parsed
        snapshots: list[Snapshot] = []
        details: dict[str, RequestDetails] = {}
        # In a container each start has the same process id. Of two workers with one id, the living one keeps it.
        taken = {self._console.pid}
        for contents in sorted(files, key=lambda one: (not one.alive, -one.head.started)):
            pid = contents.head.pid
            newest = _newest(parsed[contents.name].values())
            name = str(pid) if pid not in taken else f"{pid}s{int(contents.head.started)}"
            taken.add(pid)
            snapshots.append(_snapshot(contents, newest, name, details))
        return snapshots, details, skipped


def _parsed(entry: Entry) -> _Parsed:
    kind = entry.kind
    try:
        fields = orjson.loads(entry.data)
        if kind == "state":
            return _Parsed(kind, "", 0.0, fields if isinstance(fields, dict) else None)
        changed = float(fields["changed"])
        if kind in _KEYS:
            row = fields["row"]
            if _KEYS[kind] <= row.keys():
                return _Parsed(kind, row["id"], changed, row)
        elif kind in _MOST:
            request = fields["details"]["request"]
            return _Parsed(kind, request["id"], changed, (fields["details"], {name: request[name] for name in _ROW}))
    except (ValueError, LookupError, TypeError, AttributeError):
        pass  # Not written by this library.
    return _Parsed(kind, "", 0.0, None)


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


def _snapshot(
    contents: RingContents, newest: dict[str, dict[str, _Parsed]], name: str, details: dict[str, RequestDetails]
) -> Snapshot:
    """Return the snapshot of a worker, and add its requests to `details`; `name` is the beginning of their ids."""
    head = contents.head

    def renamed(request_id: str) -> str:
        return f"{name}-{request_id.rpartition('-')[2]}" if name != str(head.pid) else request_id

    requests: dict[str, RequestRow] = {}
    changed_requests: dict[str, float] = {}
    for kind in ("request", "slow", "failed"):
        for entry in newest[kind].values():
            opened, row = entry.fields
            request_id = renamed(entry.key)
            if entry.changed >= changed_requests.get(request_id, 0.0):
                row = {**row, "id": request_id}
                changed_requests[request_id] = entry.changed
                requests[request_id] = cast(RequestRow, row)
                details[request_id] = cast(
                    RequestDetails, {**opened, "request": {**opened["request"], "id": request_id}}
                )
    errors = [
        {**one.fields, "requests": [renamed(str(id)) for id in one.fields["requests"]]}
        for one in newest["error"].values()
    ]
    state: Any = next((one.fields for one in newest["state"].values()), {})
    lists = {key: state[key] if isinstance(state.get(key), list) else [] for key in ("stalls", "routes")}
    numbers, forgotten = state.get("numbers"), state.get("forgotten")
    return {
        "worker": {"pid": head.pid, "started": head.started, "alive": contents.alive},
        "requests": list(requests.values()),
        "errors": cast("list[ErrorGroup]", errors),
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
