"""The requests that the console keeps: the latest, the failed and the slowest, each kind with a limit of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeAlias

from divan_obs_asgi.connection.record import Record
from divan_obs_asgi.console.limits import FAILED, LATEST, LATEST_OF_A_ROUTE, SLOWEST, SLOWEST_S
from divan_obs_asgi.console.trail import Trail

# Bytes of an entry beside its trail and its fields, its row included.
ENTRY_BYTES = 1500
# Requests that wait to be sorted: sorting one by one would cost each request more.
_MOST_PENDING = 1024


class Extra(NamedTuple):
    """What is kept of a failed or slow request only; everything is redacted."""

    is_failed: bool
    error: str
    fields: dict[str, Any]
    waited: dict[str, float]


# Number, start in Unix nanoseconds, kind, method, route, status, outcome, seconds, bytes, seconds to the first byte,
# trace id, request id, trail, extra. Texts of these are a template, ids, and words of the library.
Raw: TypeAlias = tuple[
    int, int, str, str, str, int, Any, float, int, float | None, str, str, Trail | None, Extra | None
]
_ROUTE, _SECONDS, _TRAIL, _EXTRA = 4, 7, 12, 13


class Entry:
    """
    A request that is kept.

    Attributes:
        changed: when it became visible; seconds, monotonic, comparable between the processes of a machine.
        row: the row of the list, made once.
    """

    __slots__ = ("changed", "raw", "row", "size")

    def __init__(self, raw: Raw, changed: float) -> None:
        self.raw = raw
        self.changed = changed
        self.row: Any = None
        self.size = ENTRY_BYTES
        trail, extra = raw[_TRAIL], raw[_EXTRA]
        if trail is not None:
            self.size += trail.size
        if extra is not None and extra.fields:
            self.size += 4 * sum(len(str(key)) + len(str(value)) for key, value in extra.fields.items())

    @property
    def number(self) -> int:
        return self.raw[0]


class Requests:
    """
    The rings. Only the thread of the event loop calls its methods; `add` is called for every request.

    Args:
        max_bytes: of all entries, by an estimate.
        clock: seconds, monotonic.

    Attributes:
        slow_floor_s: a request that takes longer is among the slowest.
        next_number: the number of the request that is added next.
    """

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._max_bytes = max_bytes
        self._most_pending = min(_MOST_PENDING, max(16, max_bytes // 8192))
        self._pending: list[Raw] = []
        self._append = self._pending.append
        self._pending_bytes = 0
        self._numbers: dict[int, int] = {}
        self.latest: list[Entry] = []
        self.failed: list[Entry] = []
        self.slowest: list[Entry] = []
        self.slow_floor_s = 0.0
        self.next_number = 1
        self.forgotten_bytes = 0
        self.bytes = 0

    def add(self, record: Any, duration_s: float, extra: Extra | None) -> None:
        """Keep a finished request until it is sorted."""
        number = self.next_number
        self.next_number = number + 1
        trail = record.trail
        is_connection = record.kind != "event"
        self._append(
            (
                number,
                record.started_ns,
                record.kind,
                record.method,
                record.route,
                record.status,
                record.outcome,
                duration_s,
                record.response_bytes if is_connection else 0,
                record.first_byte_s if is_connection else None,
                # Ids of an event are made on demand.
                record.trace_id,
                record.request_id if is_connection or extra is not None else "",
                trail,
                extra,
            )
        )
        if trail is not None:
            self._pending_bytes += trail.size
        if len(self._pending) >= self._most_pending or self._pending_bytes > self._max_bytes >> 3:
            self.sort()

    def number_of(self, record: Record) -> int:
        """Return the number of a record that has ended just now; 0 if it is not known any more."""
        for raw in reversed(self._pending):
            if raw[1] == record.started_ns and raw[11] == record.request_id:
                return raw[0]
        return 0

    def sort(self) -> None:
        """Move the pending requests into their rings, and remove what is over a limit."""
        pending, self._pending, self._pending_bytes = self._pending, [], 0
        self._append = self._pending.append
        now = self._clock()
        if not pending and not self.slowest:
            return
        made: dict[int, Entry] = {}
        self._sort_latest(pending, now, made)
        self._sort_failed(pending, now, made)
        self._sort_slowest(pending, now, made)
        self._keep_within_bytes()

    def _entry(self, raw: Raw, now: float, made: dict[int, Entry]) -> Entry:
        entry = made.get(raw[0])
        if entry is None:
            entry = made[raw[0]] = Entry(raw, now)
        return entry

    def _sort_latest(self, pending: list[Raw], now: float, made: dict[int, Entry]) -> None:
        of_route: dict[str, int] = {}
        newest: list[Entry] = []
        for raw in reversed(pending):
            if len(newest) >= LATEST:
                break
            count = of_route.get(raw[_ROUTE], 0)
            if count < LATEST_OF_A_ROUTE:
                of_route[raw[_ROUTE]] = count + 1
                newest.append(self._entry(raw, now, made))
        for entry in reversed(self.latest):
            if len(newest) >= LATEST:
                break
            count = of_route.get(entry.raw[_ROUTE], 0)
            if count < LATEST_OF_A_ROUTE:
                of_route[entry.raw[_ROUTE]] = count + 1
                newest.append(entry)
        newest.reverse()
        self.latest = newest

    def _sort_failed(self, pending: list[Raw], now: float, made: dict[int, Entry]) -> None:
        failed = [raw for raw in pending if raw[_EXTRA] is not None and raw[_EXTRA].is_failed]
        if failed:
            self.failed = [*self.failed, *(self._entry(raw, now, made) for raw in failed[-FAILED:])][-FAILED:]

    def _sort_slowest(self, pending: list[Raw], now: float, made: dict[int, Entry]) -> None:
        floor = self.slow_floor_s
        fresh = [raw for raw in pending if raw[_SECONDS] > floor and raw[_EXTRA] is not None]
        fresh.sort(key=lambda raw: raw[_SECONDS], reverse=True)
        known = [entry for entry in self.slowest if now - entry.changed < SLOWEST_S]
        if fresh:
            known += [self._entry(raw, now, made) for raw in fresh[:SLOWEST]]
            known.sort(key=lambda entry: entry.raw[_SECONDS], reverse=True)
        self.slowest = known[:SLOWEST]
        self.slow_floor_s = self.slowest[-1].raw[_SECONDS] if len(self.slowest) == SLOWEST else 0.0

    def _keep_within_bytes(self) -> None:
        entries = self.entries()
        size = sum(entry.size for entry in entries)
        if size > self._max_bytes:
            gone = set()
            for entry in entries:
                if size <= self._max_bytes:
                    break
                size -= entry.size
                self.forgotten_bytes += entry.size
                gone.add(entry.number)
            for name in ("latest", "failed", "slowest"):
                setattr(self, name, [entry for entry in getattr(self, name) if entry.number not in gone])
        self.bytes = size

    def entries(self) -> list[Entry]:
        """Return all entries once, the oldest first."""
        found = {entry.number: entry for entry in (*self.slowest, *self.failed, *self.latest)}
        return [found[number] for number in sorted(found)]

    def classes(self) -> dict[int, list[str]]:
        """Return the classes of each entry by its number."""
        found: dict[int, list[str]] = {}
        named: Iterable[tuple[str, list[Entry]]] = (
            ("latest", self.latest),
            ("failed", self.failed),
            ("slow", self.slowest),
        )
        for name, entries in named:
            for entry in entries:
                found.setdefault(entry.number, []).append(name)
        return found


__all__ = ["ENTRY_BYTES", "Entry", "Extra", "Raw", "Requests"]
