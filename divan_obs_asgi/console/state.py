"""The JSON of GET /ops/console/state, from what one or several workers keep."""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import orjson

from divan_obs_asgi.console.about import about, probe_rows, service_of
from divan_obs_asgi.console.limits import CHANGES, ERRORS, LATEST, STATE_BYTES
from divan_obs_asgi.console.merging import merged_errors, merged_forgotten, merged_numbers
from divan_obs_asgi.console.merging_routes import MergedRoutes
from divan_obs_asgi.console.monitoring import Monitoring
from divan_obs_asgi.console.shapes import (
    Action,
    RouteRow,
    Snapshot,
    State,
    TaskPlace,
    Worker,
)
from divan_obs_asgi.console.store import Alone, Collected, Console

# A moment is shown to however many pages for a second.
_SHARED_S = 1.0
# An entry of another worker may become visible so many seconds after its time; the page merges by id.
_LATE_S = 3.0
_CURSOR = re.compile(r"([a-z0-9]{1,32})-([0-9]{1,18})")
# The room of routes, and of requests, errors and changes, in an answer with a cursor.
_ROUTES_BYTES = 12_000
_ROOMS = 18_000, 10_000, 5_000
_UNLIMITED = math.inf, math.inf, math.inf
_MOST_ANSWERS = 16
_AT, _LAST = itemgetter("at"), itemgetter("last")
_ORDINARY = ["latest"]
_MOST_STALLS = 20
_MOST_WORKERS = 64


class Moment:
    """
    What all workers keep at one moment, and the answers that were made of it.

    Attributes:
        made_at: seconds, monotonic; entries that have changed later are not in it.
    """

    def __init__(
        self,
        made_at: float,
        instance: str,
        common: dict[str, Any],
        snapshots: Sequence[Snapshot],
        routes: MergedRoutes,
        turn: int,
    ) -> None:
        self.made_at = made_at
        self._instance = instance
        self._common = common
        self._snapshots = snapshots
        self._errors = merged_errors(snapshots)
        self._routes = routes
        self._some_routes = self._routes.some(_ROUTES_BYTES, turn)
        self._answers: dict[tuple[float | None, bool, bytes], bytes] = {}

    def answer(self, after: float | None, is_restarted: bool, actions: list[Action]) -> bytes:
        """Return the state as JSON; pages with the same cursor and rights share it."""
        key = after, is_restarted, orjson.dumps(actions)
        found = self._answers.get(key)
        if found is None:
            if len(self._answers) >= _MOST_ANSWERS:
                self._answers.clear()
            found = self._answers[key] = self._answer(after, is_restarted, actions)
        return found

    def _answer(self, after: float | None, is_restarted: bool, actions: list[Action]) -> bytes:
        rooms: tuple[float, float, float] = _UNLIMITED if after is None else _ROOMS
        # By id: one that has become a slow one, for example, is in a file twice.
        found = {row["id"]: row for row in self._since("requests", after)}
        requests, left_requests = _newest(list(found.values()), _AT, rooms[0], 3 * LATEST)
        errors, left_errors = _newest(_after(self._errors, after), _LAST, rooms[1], ERRORS)
        changes, left_changes = _newest(self._since("changes", after), _AT, rooms[2], CHANGES)
        state: State = {
            **self._common,  # type: ignore[typeddict-item]
            "cursor": f"{self._instance}-{int(self.made_at * 1e6) + 1}",
            "full": after is None,
            "restarted": is_restarted,
            "requests": requests,
            "errors": errors,
            "changes": changes,
            "routes": self._routes.all() if after is None else self._some_routes,
            "actions": actions,
            "left_out": {"requests": left_requests, "errors": left_errors, "changes": left_changes},
        }
        return encoded(state, is_limited=after is not None)

    def _since(self, name: str, after: float | None) -> list[Any]:
        found: list[Any] = []
        for index, snapshot in enumerate(self._snapshots):
            limit = None if after is None else after - (_LATE_S if index else 0.0)
            changed = _after(snapshot[name], limit)  # type: ignore[literal-required]
            found += changed
        return found


class StateBuilder:
    """Makes the answers; its methods run in any thread, and one at a time."""

    def __init__(self, console: Console, clock: Callable[[], float] | None = None) -> None:
        self._console = console
        self._clock = clock or console.now
        self._monitoring = Monitoring(console.obs)
        self._shared: dict[str, Any] = {}
        self._shared_at = float("-inf")
        self._moment: Moment | None = None
        self._routes = MergedRoutes(())
        self._lock = threading.Lock()
        self._turn = 0

    def kept(self, since: str) -> Moment | None:
        """
        Return the last moment, if it is new to a page with this cursor and not older than a second.

        So pages share what was made for one of them, and each page gets something newer than it has.
        """
        moment, after = self._moment, self._after(since)
        if moment is None or after is None or after > moment.made_at:
            return None
        return moment if 0 <= self._clock() - moment.made_at < _SHARED_S else None

    def answer(
        self,
        moment: Moment | None,
        collected: Collected | None,
        collected_at: float,
        since: str,
        tasks: list[TaskPlace],
        actions: list[Action],
    ) -> bytes:
        """
        Return the state as JSON.

        Args:
            moment: the one that `kept` has returned.
            collected: without it, from `Console.collect` at this time of the clock.
            since: the cursor of the page; empty for everything.
        """
        with self._lock:
            # Another page may have made one meanwhile.
            moment = moment or self.kept(since)
            if moment is None:
                assert collected is not None
                moment = self._moment = self._made(collected, collected_at, tasks)
            after = self._after(since)
            return moment.answer(after, bool(since) and after is None, actions)

    def _after(self, since: str) -> float | None:
        cursor = _CURSOR.fullmatch(since)
        return int(cursor[2]) / 1e6 if cursor is not None and cursor[1] == self._console.peers.instance else None

    def _made(self, collected: Collected, collected_at: float, tasks: list[TaskPlace]) -> Moment:
        console = self._console
        console.tick()
        own = console.snapshot(collected)
        others, skipped = console.peers.snapshots()
        snapshots = [own, *others]
        shared = self._shared_parts()
        stalls = sorted((stall for one in snapshots for stall in one["stalls"]), key=itemgetter("at"))
        workers: list[Worker] = [one["worker"] for one in snapshots]
        self._turn += 1
        return Moment(
            collected_at,
            console.peers.instance,
            {
                "now": time.time(),
                "service": service_of(console.obs, console.started),
                "workers": {
                    "known": not isinstance(console.peers, Alone),
                    "answering": own["worker"]["pid"],
                    "list": workers[:_MOST_WORKERS],
                    "skipped_files": skipped,
                },
                "numbers": merged_numbers([one["numbers"] for one in snapshots if one["worker"]["alive"]]),
                "probes": shared["probes"],
                "loop": {"lag_ms": dict(console.lag_ms), "stalls": stalls[-_MOST_STALLS:], "tasks": tasks},
                "sockets": shared["sockets"],
                "monitoring": shared["monitoring"],
                "about": shared["about"],
                "forgotten": merged_forgotten(snapshots),
            },
            snapshots,
            self._merged_routes([one["routes"] for one in snapshots]),
            self._turn,
        )

    def _merged_routes(self, tables: list[list[RouteRow]]) -> MergedRoutes:
        """Return the routes of all workers; the same until one of them has made another step."""
        # The lists themselves, so that a new one does not have the address of one that is gone.
        before = self._routes.tables
        if len(tables) != len(before) or any(one is not other for one, other in zip(tables, before, strict=True)):
            self._routes = MergedRoutes(tables)
        return self._routes

    def _shared_parts(self) -> dict[str, Any]:
        now = self._clock()
        if now - self._shared_at >= _SHARED_S:
            console = self._console
            self._shared = {
                "probes": self._part(lambda: probe_rows(console.obs, console.pid), []),
                "sockets": self._part(
                    console.sockets.figures, {"namespaces": [], "handlers": [], "refused": [], "websockets": 0}
                ),
                "about": self._part(
                    lambda: about(console.obs, console.changes.jobs), {"flags": [], "middlewares": [], "jobs": []}
                ),
                # Last: it counts the failures of the others.
                "monitoring": self._part(self._monitoring.rows, []),
            }
            self._shared_at = now
        return self._shared

    def _part(self, make: Callable[[], Any], otherwise: Any) -> Any:
        try:
            return make()
        except Exception as error:
            self._console.obs.faults.report("console", error)
            return otherwise


def encoded(state: State, *, is_limited: bool) -> bytes:
    """Return JSON; with a cursor at most `STATE_BYTES`, by leaving out the oldest entries and then whole lists."""
    body = orjson.dumps(state)
    if not is_limited or len(body) <= STATE_BYTES:
        return body
    cut: Any = dict(state)
    # The page keeps what it has; the next answer with everything brings the rest.
    for name in ("about", "sockets", "probes", "routes", "monitoring", "changes", "requests", "errors"):
        value = cut[name]
        if isinstance(value, list):
            cut[name] = value[: len(value) // 4]
        else:
            cut[name] = {key: part[:10] if isinstance(part, list) else part for key, part in value.items()}
        body = orjson.dumps(cut)
        if len(body) <= STATE_BYTES:
            break
    return body


def _after(rows: Sequence[tuple[Any, ...]], after: float | None) -> list[Any]:
    """Return the entries that have changed since."""
    return [one[1] for one in rows if after is None or one[0] > after]


def _newest(rows: list[Any], at: Callable[[Any], float], room: float, most: int) -> tuple[list[Any], int]:
    """
    Return the newest rows that fit into so many bytes, the newest first, and how many are left out.

    The failed and the slow requests come before all others.
    """
    rows.sort(key=at, reverse=True)
    if len(rows) <= most and room == math.inf:
        return rows, 0
    kept: list[Any] = []
    notable = [row for row in rows if row.get("classes") != _ORDINARY]
    for row in chain(notable, (row for row in rows if row.get("classes") == _ORDINARY)):
        room -= len(orjson.dumps(row)) + 1
        if room < 0 or len(kept) == most:
            break
        kept.append(row)
    kept.sort(key=at, reverse=True)
    return kept, len(rows) - len(kept)


__all__ = ["Moment", "StateBuilder", "encoded"]
