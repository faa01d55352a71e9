"""The requests that the console keeps: the latest, the failed and the slowest, each kind with a limit of its own."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeAlias

from divan_obs_asgi.connection.record import Record
from divan_obs_asgi.console.limits import FAILED, LATEST, LATEST_OF_A_ROUTE, SLOWEST, SLOWEST_S
from divan_obs_asgi.console.trail import SMALL, Trail

# Bytes of an entry beside its trail and its fields, its row included.
ENTRY_BYTES = 1500
# Bytes of the fields of a failed or slow request, until they are counted.
_EXTRA_BYTES = 1000


class Extra(NamedTuple):
    """What is kept of a failed, slow or debugged request only; everything is redacted."""

    is_failed: bool
    error: str
    fields: dict[str, Any]
    waited: dict[str, float]
    debug: bool = False


# Number, start in Unix nanoseconds, kind, method, route, status, outcome, seconds, bytes, seconds to the first byte,
# trace id, request id, trail, extra. Texts of these are a template, ids, and words of the library.
Raw: TypeAlias = tuple[
    int, int, str, str, str, int, Any, float, int, float | None, str, str, Trail | None, Extra | None
]
NUMBER: Final = 0
STARTED: Final = 1
ROUTE: Final = 4
SECONDS: Final = 7
FIRST_BYTE: Final = 9
ID: Final = 11
TRAIL: Final = 12
EXTRA: Final = 13


class Entry:
    """
    A request that is kept.

    Attributes:
        changed: when it became visible; seconds, monotonic, comparable between the processes of a machine.
        row: the row of the list, made once.
    """

    __slots__ = ("_size", "changed", "number", "raw", "row")

    def __init__(self, raw: Raw, changed: float) -> None:
        self.number = raw[NUMBER]
        self.raw = raw
        self.changed = changed
        self.row: Any = None
        self._size = ENTRY_BYTES
        extra = raw[EXTRA]
        if extra is not None and extra.fields:
            self._size += 4 * sum(len(str(key)) + len(str(value)) for key, value in extra.fields.items())

    @property
    def call_count(self) -> int:
        """The number of its calls to SQL, Redis and HTTP."""
        trail = self.raw[TRAIL]
        return 0 if trail is None else trail.call_count

    @property
    def size(self) -> int:
        """An estimate of its bytes. Lines may be added after the end of the request."""
        trail = self.raw[TRAIL]
        return self._size if trail is None else self._size + trail.size


class Requests:
    """
    The rings. Only the thread of the event loop calls its methods.

    Args:
        max_bytes: of all entries, by an estimate.
        clock: seconds, monotonic.

    Attributes:
        last: the number of the last request.
        slow_floor_s: a request that takes longer is among the slowest.
        fresh: the latest requests that are not sorted yet, by route.
    """

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._max_bytes = max_bytes
        self._max_fresh_bytes = max_bytes // 8
        self._fresh_bytes = 0
        # The failed, slow and debugged ones that are not sorted yet.
        self._notable: list[Raw] = []
        self.last = 0
        self.fresh: dict[str, deque[Raw]] = {}
        self.latest: list[Entry] = []
        self.failed: list[Entry] = []
        self.slowest: list[Entry] = []
        self.slow_floor_s = 0.0
        self.forgotten_bytes = 0
        self.bytes = 0

    def add(self, raw: Raw) -> None:
        """
        Add a request.

        An ordinary one whose route has as many as are kept in `fresh` can be appended there, without this call.
        """
        latest = self.fresh.get(raw[ROUTE])
        if latest is None:
            latest = self.fresh[raw[ROUTE]] = deque(maxlen=LATEST_OF_A_ROUTE)
        latest.append(raw)
        trail, extra = raw[TRAIL], raw[EXTRA]
        self._fresh_bytes += SMALL if trail is None else trail.size
        if extra is not None:
            self._notable.append(raw)
            self._fresh_bytes += _EXTRA_BYTES
        if self._fresh_bytes > self._max_fresh_bytes:
            self.sort()

    def number_of(self, record: Record) -> int:
        """Return the number of a record that has ended just now; 0 if it is not known any more."""
        for raw in self.fresh.get(record.route, ()):
            if raw[STARTED] == record.started_ns and raw[ID] == record.request_id:
                return raw[NUMBER]
        return 0

    def sort(self) -> None:
        """Move the fresh requests into their rings, and remove what is over a limit."""
        fresh = [raw for of_route in self.fresh.values() for raw in of_route]
        notable = [*self._notable]
        self.fresh.clear()
        self._notable.clear()
        self._fresh_bytes = 0
        if not fresh and not self.slowest:
            return
        now = self._clock()
        made: dict[int, Entry] = {}
        if fresh:
            fresh.sort(key=itemgetter(NUMBER), reverse=True)
            self._sort_latest(fresh, now, made)
        self._sort_failed(notable, now, made)
        self._sort_slowest(notable, now, made)
        self._keep_within_bytes()

    @staticmethod
    def _entry(raw: Raw, now: float, made: dict[int, Entry]) -> Entry:
        entry = made.get(raw[NUMBER])
        if entry is None:
            entry = made[raw[NUMBER]] = Entry(raw, now)
        return entry

    def _sort_latest(self, fresh: list[Raw], now: float, made: dict[int, Entry]) -> None:
        newest = [self._entry(raw, now, made) for raw in fresh[:LATEST]]
        of_route = Counter(entry.raw[ROUTE] for entry in newest)
        for entry in reversed(self.latest):
            if len(newest) >= LATEST:
                break
            route = entry.raw[ROUTE]
            if of_route[route] < LATEST_OF_A_ROUTE:
                of_route[route] += 1
                newest.append(entry)
        newest.reverse()
        self.latest = newest

    def _sort_failed(self, notable: list[Raw], now: float, made: dict[int, Entry]) -> None:
        failed = [raw for raw in notable if (extra := raw[EXTRA]) is not None and extra.is_failed]
        if failed:
            self.failed = [*self.failed, *(self._entry(one, now, made) for one in failed[-FAILED:])][-FAILED:]

    def _sort_slowest(self, notable: list[Raw], now: float, made: dict[int, Entry]) -> None:
        floor = self.slow_floor_s
        fresh = [raw for raw in notable if raw[SECONDS] > floor]
        fresh.sort(key=itemgetter(SECONDS), reverse=True)
        known = [entry for entry in self.slowest if now - entry.changed < SLOWEST_S]
        if fresh:
            known += [self._entry(one, now, made) for one in fresh[:SLOWEST]]
            known.sort(key=lambda entry: entry.raw[SECONDS], reverse=True)
        self.slowest = known[:SLOWEST]
        self.slow_floor_s = self.slowest[-1].raw[SECONDS] if len(self.slowest) == SLOWEST else 0.0

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


__all__ = [
    "ENTRY_BYTES",
    "EXTRA",
    "FIRST_BYTE",
    "ID",
    "NUMBER",
    "ROUTE",
    "SECONDS",
    "STARTED",
    "TRAIL",
    "Entry",
    "Extra",
    "Raw",
    "Requests",
]
