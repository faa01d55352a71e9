"""The console of one worker: what is kept, within its bytes, and what is noticed once a second."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeAlias

import anyio
import anyio.to_thread

from divan_obs_asgi.clients.description import Descriptions
from divan_obs_asgi.clients.patches import WaitTiming
from divan_obs_asgi.console.cells import EDGES_S, HEAD, buckets, quantile, route_totals, total
from divan_obs_asgi.console.changes import Changes
from divan_obs_asgi.console.details import details_of, row_of, shown
from divan_obs_asgi.console.errors import ErrorGroups, Group
from divan_obs_asgi.console.feed import COMPONENT, Feed
from divan_obs_asgi.console.limits import NAME, SERIES_STEP_S, TEXT
from divan_obs_asgi.console.requests import Entry, Requests
from divan_obs_asgi.console.routes import RouteTraffic, ms
from divan_obs_asgi.console.series import Series
from divan_obs_asgi.console.shapes import ErrorGroup, Forgotten, RequestDetails, RequestRow, Snapshot
from divan_obs_asgi.console.sockets import SocketFigures
from divan_obs_asgi.metrics.family import LAG_BUCKETS_S

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability

TICK_S = 1.0
# An error that was first seen so many seconds ago is new.
NEW_S = 600.0
# Entries, the classes of each by its number, and the groups of errors.
Collected: TypeAlias = tuple[list[Entry], dict[int, list[str]], list[Group]]
_LAG_EDGES_S = (*LAG_BUCKETS_S, float("inf"))


class Peers(Protocol):
    """The other workers of the service, where they share a directory."""

    @property
    def instance(self) -> str:
        """The same text in all workers of one start of the service; letters and digits."""

    def snapshots(self) -> tuple[Sequence[Snapshot], int]:
        """Return what the other workers keep, and how many files could not be read; called in a thread."""

    def details(self, request_id: str) -> RequestDetails | None:
        """Return a request of another worker; called in a thread."""


class Alone:
    """No other worker is known."""

    def __init__(self) -> None:
        self.instance = secrets.token_hex(4)

    def snapshots(self) -> tuple[Sequence[Snapshot], int]:
        return (), 0

    def details(self, request_id: str) -> RequestDetails | None:
        return None


class Console:
    """
    What is kept of this worker. The methods that say so run in the event loop's thread, all others in any.

    Args:
        clock: seconds, monotonic, comparable between the processes of a machine.
        now: Unix time in seconds.

    Attributes:
        feed: the observer of the bundle's records.
        peers: the other workers; `Alone` unless they share a directory.
        lag_ms: the quantiles of the loop's lag in the last step.
    """

    component = COMPONENT

    def __init__(
        self,
        obs: Observability,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        settings = obs.settings.console
        self.obs = obs
        self.started = now()
        self.peers: Peers = Alone()
        self._clock = clock
        self._now = now
        # Five eighths for requests and errors, a quarter for routes, the rest for descriptions and series.
        room = settings.max_bytes // 8
        policy = obs.metrics.counting(obs.redaction, "console")
        self._text = policy.redact_text
        self.requests = Requests(4 * room, clock)
        self.errors = ErrorGroups(policy, room, clock, now)
        self.routes = RouteTraffic(2 * room)
        self.series = Series()
        self.changes = Changes(obs, clock, now)
        self.sockets = SocketFigures(obs.metrics)
        descriptions = Descriptions(
            partial(_short, policy.redact_text), max_length=TEXT, remembered=max(2, min(256, room // 16384))
        )
        self.feed = Feed(self.requests, self.errors, policy, descriptions, obs.faults)
        # It is an observer itself, so that the bundle knows its console; each request calls the feed directly.
        self.observe = self.feed.observe
        self.observe_event = self.feed.observe_event
        self.timing = WaitTiming()
        self.lag_ms: dict[str, float | None] = {"p50": None, "p99": None}
        self._lag_before: list[float] = []
        self._totals_before: dict[str, float] = {}
        self._ticked = self._stepped = float("-inf")
        self._ticking = threading.Lock()

    @property
    def pid(self) -> int:
        """The process, which may be a fork of the one that has built the stack."""
        return os.getpid()

    async def run(self) -> None:
        """Look at the service once a second until cancelled."""
        limiter = anyio.CapacityLimiter(1)
        while True:
            # The slowest of the last minutes: the old ones make room.
            self.requests.sort()
            await anyio.to_thread.run_sync(self.tick, limiter=limiter)
            await anyio.sleep(TICK_S)

    def tick(self) -> None:
        """Look at the service, unless that was done in the last second; never raises."""
        if not self._ticking.acquire(blocking=False):
            return
        try:
            now = self._clock()
            if now - self._ticked >= 0.9 * TICK_S:
                self._ticked = now
                self.changes.look()
            if now - self._stepped >= 0.99 * SERIES_STEP_S:
                lasted_s, self._stepped = now - self._stepped, now
                self._step(now, lasted_s)
        except Exception as error:
            self.obs.faults.report(COMPONENT, error)
        finally:
            self._ticking.release()

    def _step(self, now: float, lasted_s: float) -> None:
        metrics = self.obs.metrics
        # The fast counters add to their cells here, as before a scrape.
        metrics.registry.call_before()
        traffic = self.routes.add(route_totals(metrics), now)
        lag = self._lag()
        is_first = not self._totals_before
        lasted_s = max(0.001, min(lasted_s, 10 * SERIES_STEP_S))
        events = self.sockets.tick(lasted_s)
        exceptions = self._increase("exceptions", total(metrics.http_exceptions) + total(metrics.socketio_errors))
        redactions = self._increase("redactions", total(metrics.redactions))
        if is_first:
            return  # A rate needs two readings.
        p95 = ms(quantile(0.95, traffic[HEAD:], EDGES_S))
        self.series.add(
            (
                traffic[0] / lasted_s,
                traffic[1] / traffic[0] if traffic[0] else None,
                p95,
                metrics.http_in_flight._value.get(),
                lag,
                self.sockets.clients(),
                metrics.websocket_open._value.get(),
                events,
                exceptions / lasted_s,
                total(metrics.logs_dropped),
                total(metrics.trace_spans_dropped),
                redactions / lasted_s,
            )
        )

    def _increase(self, name: str, present: float) -> float:
        before = self._totals_before.get(name, present)
        self._totals_before[name] = present
        return max(0.0, present - before)

    def _lag(self) -> float | None:
        counts = buckets(self.obs.metrics.event_loop_lag)
        before, self._lag_before = self._lag_before or counts, counts
        more = [count - old for count, old in zip(counts, before, strict=True)]
        self.lag_ms = {name: ms(quantile(share, more, _LAG_EDGES_S)) for name, share in (("p50", 0.5), ("p99", 0.99))}
        return self.lag_ms["p99"]

    # What is kept.

    def now(self) -> float:
        """Return the time of the clock by which entries change."""
        return self._clock()

    def collect(self) -> Collected:
        """Return the entries as they are now; in the event loop's thread."""
        self.requests.sort()
        return self.requests.entries(), self.requests.classes(), list(self.errors.groups.values())

    def snapshot(self, collected: Collected) -> Snapshot:
        """Return what this worker keeps."""
        entries, classes, groups = collected
        return {
            "worker": {"pid": self.pid, "started": self.started, "alive": True},
            "requests": [(entry.changed, self.request_row(entry, classes)) for entry in entries],
            "errors": [(group.changed, self.group_row(group)) for group in groups],
            "changes": [(one.changed, one.change) for one in tuple(self.changes.kept)],
            "stalls": list(self.changes.stalls),
            "numbers": self.series.numbers(),
            "routes": self.routes.rows(self._clock()),
            "forgotten": self.forgotten(entries),
        }

    def forgotten(self, entries: list[Entry]) -> Forgotten:
        """Return how many entries were removed to keep the limits; these are the requests that are kept."""
        return {
            "requests": max(0, self.requests.last - len(entries)),
            "errors": self.errors.forgotten,
            "changes": self.changes.forgotten,
            "bytes": self.requests.forgotten_bytes,
        }

    def request_row(self, entry: Entry, classes: dict[int, list[str]]) -> RequestRow:
        """Return a request as the list shows it."""
        return row_of(entry, self.pid, classes.get(entry.number, []), self._text)

    def group_row(self, group: Group) -> ErrorGroup:
        """Return a group of errors as the page shows it."""
        return {
            "id": group.id,
            "type": group.type,
            "at": group.place,
            "count": group.count,
            "first": group.first,
            "last": group.last,
            "new": self._now() - group.first < NEW_S,
            "routes": [shown(self._text(route), 2 * NAME) for route in tuple(group.routes)],
            "requests": [f"{self.pid}-{number}" for number in tuple(group.requests)],
            "traceback": group.traceback,
            "message": shown(group.message, TEXT),
        }

    def details(self, request_id: str) -> RequestDetails | None:
        """Return an entry of this worker, opened; in the event loop's thread. None if it is not kept."""
        pid, _, number = request_id.partition("-")
        if pid != str(self.pid) or not number.isdecimal() or len(number) > 18:
            return None
        entries, classes, _ = self.collect()
        for entry in entries:
            if entry.number == int(number):
                row = self.request_row(entry, classes)
                group = self.errors.groups.get(row["error"])
                return details_of(entry, row, None if group is None else self.group_row(group))
        return None


def _short(redact: Callable[[str], str], text: str) -> str:
    return shown(redact(text), 2 * TEXT)


__all__ = ["NEW_S", "TICK_S", "Alone", "Collected", "Console", "Peers"]
