"""The requests that the console keeps: the latest, the failed and the slowest, each kind with a limit of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple, TypeAlias

from divan_obs_asgi.connection.record import Record
from divan_obs_asgi.console.limits import FAILED, LATEST, LATEST_OF_A_ROUTE, SLOWEST, SLOWEST_S
from divan_obs_asgi.console.trail import Trail

# Bytes of an entry beside its trail and its fields, its row included.
ENTRY_BYTES = 1500
# Requests that wait to be sorted: sorting one by one would cost each request more.
_MOST_PENDING = 1024


class Extra(NamedTuple):
    """What is kept of a failed, slow or debugged request only; everything is redacted."""

    is_failed: bool
    error: str
    fields: dict[str, Any]
    waited: dict[str, float]
    debug: bool = False


# Start in Unix nanoseconds, kind, method, route, status, outcome, seconds, bytes, seconds to the first byte, trace id,
# request id, trail, extra. Texts of these are a template, ids, and words of the library.
Raw: TypeAlias = tuple[int, str, str, str, int, Any, float, int, float | None, str, str, Trail | None, Extra | None]
Numbered: TypeAlias = tuple[int, Raw]
_STARTED: Final = 0
_ROUTE: Final = 3
_SECONDS: Final = 6
_ID: Final = 10
_TRAIL: Final = 11
_EXTRA: Final = 12


class Entry:
    """
    A request that is kept.

    Attributes:
        changed: when it became visible; seconds, monotonic, comparable between the processes of a machine.
        row: the row of the list, made once.
    """

    __slots__ = ("_size", "changed", "number", "raw", "row")

    def __init__(self, number: int, raw: Raw, changed: float) -> None:
        self.number = number
        self.raw = raw
        self.changed = changed
        self.row: Any = None
        self._size = ENTRY_BYTES
        extra = raw[_EXTRA]
        if extra is not None and extra.fields:
            self._size += 4 * sum(len(str(key)) + len(str(value)) for key, value in extra.fields.items())

    @property
    def size(self) -> int:
        """An estimate of its bytes. Lines may be added after the end of the request."""
        trail = self.raw[_TRAIL]
        return self._size if trail is None else self._size + trail.size


class Requests:
    """
    The rings. Only the thread of the event loop calls its methods. The feed appends each finished request to `pending`.

    Args:
        max_bytes: of all entries, by an estimate.
        clock: seconds, monotonic.

    Attributes:
        slow_floor_s: a request that takes longer is among the slowest.
        pending: the requests that are not sorted yet; always the same list.
        pending_bytes: of their trails.
        most_pending, most_pending_bytes: when to call `sort`.
    """

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._max_bytes = max_bytes
        self.most_pending = min(_MOST_PENDING, max(16, max_bytes // 8192))
        self.most_pending_bytes = max_bytes // 8
        self.pending: list[Raw] = []
        self.pending_bytes = 0
        # The number of the first one that is pending.
        self._first = 1
        self.latest: list[Entry] = []
        self.failed: list[Entry] = []
        self.slowest: list[Entry] = []
        self.slow_floor_s = 0.0
        self.forgotten_bytes = 0
        self.bytes = 0

    @property
    def next_number(self) -> int:
        """The number of the next request."""
        return self._first + len(self.pending)

    def number_of(self, record: Record) -> int:
        """Return the number of a record that has ended just now; 0 if it is not known any more."""
        for index in range(len(self.pending) - 1, -1, -1):
            raw = self.pending[index]
            if raw[_STARTED] == record.started_ns and raw[_ID] == record.request_id:
                return self._first + index
        return 0

    def sort(self) -> None:
        """Move the pending requests into their rings, and remove what is over a limit."""
        pending = list(enumerate(self.pending, self._first))
        self._first += len(pending)
        # The same list: the feed has its `append`.
        self.pending.clear()
        self.pending_bytes = 0
        if not pending and not self.slowest:
            return
        now = self._clock()
        made: dict[int, Entry] = {}
        self._sort_latest(pending, now, made)
        self._sort_failed(pending, now, made)
        self._sort_slowest(pending, now, made)
        self._keep_within_bytes()

    @staticmethod
    def _entry(numbered: Numbered, now: float, made: dict[int, Entry]) -> Entry:
        number, raw = numbered
        entry = made.get(number)
        if entry is None:
            entry = made[number] = Entry(number, raw, now)
        return entry

    def _sort_latest(self, pending: list[Numbered], now: float, made: dict[int, Entry]) -> None:
        of_route: dict[str, int] = {}
        newest: list[Entry] = []
        for numbered in reversed(pending):
            if len(newest) >= LATEST:
                break
            route = numbered[1][_ROUTE]
            count = of_route.get(route, 0)
            if count < LATEST_OF_A_ROUTE:
                of_route[route] = count + 1
                newest.append(self._entry(numbered, now, made))
        for entry in reversed(self.latest):
            if len(newest) >= LATEST:
                break
            count = of_route.get(entry.raw[_ROUTE], 0)
            if count < LATEST_OF_A_ROUTE:
                of_route[entry.raw[_ROUTE]] = count + 1
                newest.append(entry)
        newest.reverse()
        self.latest = newest

    def _sort_failed(self, pending: list[Numbered], now: float, made: dict[int, Entry]) -> None:
        failed = [one for one in pending if (extra := one[1][_EXTRA]) is not None and extra.is_failed]
        if failed:
            self.failed = [*self.failed, *(self._entry(one, now, made) for one in failed[-FAILED:])][-FAILED:]

    def _sort_slowest(self, pending: list[Numbered], now: float, made: dict[int, Entry]) -> None:
        floor = self.slow_floor_s
        fresh = [one for one in pending if one[1][_SECONDS] > floor and one[1][_EXTRA] is not None]
        fresh.sort(key=lambda one: one[1][_SECONDS], reverse=True)
        known = [entry for entry in self.slowest if now - entry.changed < SLOWEST_S]
        if fresh:
            known += [self._entry(one, now, made) for one in fresh[:SLOWEST]]
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
