"""The JSON of GET /ops/console/state, from what one or several workers keep."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import orjson

from divan_obs_asgi.console.about import about, probe_rows, service_of
from divan_obs_asgi.console.errors import Group
from divan_obs_asgi.console.limits import CHANGES, ERRORS, LATEST, STATE_BYTES
from divan_obs_asgi.console.merging import merged_errors, merged_forgotten, merged_numbers, merged_routes
from divan_obs_asgi.console.monitoring import Monitoring
from divan_obs_asgi.console.requests import Entry
from divan_obs_asgi.console.shapes import (
    Action,
    Number,
    RouteRow,
    Snapshot,
    State,
    TaskPlace,
    Worker,
)
from divan_obs_asgi.console.store import Alone, Console

# Parts that no cursor changes are made once a second, for however many pages.
_SHARED_S = 1.0
# An entry of another worker may become visible so many seconds after its time; the page merges by id.
_LATE_S = 3.0
_CURSOR = re.compile(r"([a-z0-9]{1,32})-([0-9]{1,18})")
# The room of routes, of requests and of errors in an answer with a cursor.
_ROUTES_BYTES, _REQUESTS_BYTES, _ERRORS_BYTES, _CHANGES_BYTES = 12_000, 18_000, 10_000, 5_000
_MOST_STALLS = 20
_MOST_WORKERS = 64


class _Row(Protocol):
    def __getitem__(self, key: str, /) -> Any: ...


R = TypeVar("R")


class StateBuilder:
    """Makes the answers; its methods run in any thread, and one at a time."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._monitoring = Monitoring(console.obs)
        self._shared: dict[str, Any] = {}
        self._shared_at = float("-inf")
        self._merged_tables: list[list[RouteRow]] = []
        self._merged_routes: list[RouteRow] = []
        self._lock = threading.Lock()
        self._turn = 0

    def answer(
        self,
        collected: tuple[list[Entry], dict[int, list[str]], list[Group]],
        collected_at: float,
        since: str,
        tasks: list[TaskPlace],
        actions: list[Action],
    ) -> bytes:
        """
        Return the state as JSON.

        Args:
            collected: from `Console.collect`, at this time of the clock.
            since: the cursor of the page; empty for everything.
        """
        with self._lock:
            console = self._console
            console.tick()
            own = console.snapshot(collected)
            others, skipped = console.peers.snapshots()
            instance = console.peers.instance
            cursor = _CURSOR.fullmatch(since)
            after = int(cursor[2]) / 1e6 if cursor is not None and cursor[1] == instance else None
            state = self._state([own, *others], skipped, after, tasks, actions)
            state["cursor"] = f"{instance}-{int(collected_at * 1e6) + 1}"
            state["restarted"] = bool(since) and after is None
            return encoded(state, is_limited=after is not None)

    def _state(
        self,
        snapshots: Sequence[Snapshot],
        skipped: int,
        after: float | None,
        tasks: list[TaskPlace],
        actions: list[Action],
    ) -> State:
        console = self._console
        own = snapshots[0]
        shared = self._shared_parts()
        stalls = sorted((stall for one in snapshots for stall in one["stalls"]), key=lambda stall: stall["at"])
        requests = _since(snapshots, "requests", after, lambda row: row["at"])
        errors = merged_errors(_since(snapshots, "errors", after, lambda row: row["last"]))
        changes = _since(snapshots, "changes", after, lambda row: row["at"])
        workers: list[Worker] = [one["worker"] for one in snapshots]
        numbers, routes = self._merged_parts(snapshots)
        if after is not None:
            requests, errors, changes = (
                _cut(requests, _REQUESTS_BYTES),
                _cut(errors, _ERRORS_BYTES),
                _cut(changes, _CHANGES_BYTES),
            )
            routes = self._some(routes)
        else:
            requests, errors, changes = requests[-3 * LATEST :], errors[-ERRORS:], changes[-CHANGES:]
        return {
            "cursor": "",
            "full": after is None,
            "restarted": False,
            "now": time.time(),
            "service": service_of(console.obs, console.started),
            "workers": {
                "known": not isinstance(console.peers, Alone),
                "answering": own["worker"]["pid"],
                "list": workers[:_MOST_WORKERS],
                "skipped_files": skipped,
            },
            "numbers": numbers,
            "requests": requests[::-1],
            "errors": errors[::-1],
            "routes": routes,
            "probes": shared["probes"],
            "loop": {"lag_ms": dict(console.lag_ms), "stalls": stalls[-_MOST_STALLS:], "tasks": tasks},
            "sockets": shared["sockets"],
            "monitoring": shared["monitoring"],
            "about": shared["about"],
            "changes": changes[::-1],
            "actions": actions,
            "forgotten": merged_forgotten(snapshots),
        }

    def _merged_parts(self, snapshots: Sequence[Snapshot]) -> tuple[dict[str, Number], list[RouteRow]]:
        """Return the numbers and routes of all workers; merged when one of them has made another step."""
        # The lists themselves, so that a new one does not have the address of one that is gone.
        tables = [one["routes"] for one in snapshots]
        before = self._merged_tables
        if len(tables) != len(before) or any(one is not other for one, other in zip(tables, before, strict=True)):
            self._merged_tables = tables
            self._merged_routes = merged_routes(tables)
        return merged_numbers([one["numbers"] for one in snapshots if one["worker"]["alive"]]), self._merged_routes

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

    def _some(self, routes: list[RouteRow]) -> list[RouteRow]:
        """Return the busiest routes, and in turn a part of the others, so that the answer stays small."""
        if not routes:
            return routes
        room = max(8, _ROUTES_BYTES * len(routes) // max(1, len(orjson.dumps(routes))))
        if len(routes) <= room:
            return routes
        first, rest = routes[: room // 2], routes[room // 2 :]
        size = room - len(first)
        self._turn = (self._turn + size) % len(rest)
        return [*first, *(rest[self._turn :] + rest[: self._turn])[:size]]


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


def _since(snapshots: Sequence[Snapshot], name: str, after: float | None, at: Callable[[Any], float]) -> list[Any]:
    """Return the entries of all workers that have changed since, the oldest first."""
    found: list[Any] = []
    for index, snapshot in enumerate(snapshots):
        rows: Iterable[Any] = snapshot[name]  # type: ignore[literal-required]
        if after is not None:
            changed: Mapping[str, float] = snapshot["changed"][name]  # type: ignore[literal-required]
            limit = after if index == 0 else after - _LATE_S
            rows = [row for row in rows if changed.get(row["id"], 0.0) > limit]
        found.extend(rows)
    found.sort(key=at)
    return found


def _cut(rows: list[R], room: int) -> list[R]:
    """Return the newest rows that fit into so many bytes."""
    kept = 0
    for row in reversed(rows):
        room -= len(orjson.dumps(row)) + 1
        if room < 0:
            break
        kept += 1
    return rows[len(rows) - kept :]


__all__ = ["StateBuilder", "encoded"]
