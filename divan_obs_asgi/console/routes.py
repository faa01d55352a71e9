"""The traffic of each route in the last five minutes, as the differences of the cells of /metrics."""

from __future__ import annotations

from array import array
from collections import deque
from typing import TypeAlias

from divan_obs_asgi.console.cells import EDGES_S, HEAD, WIDTH, Key, quantile
from divan_obs_asgi.console.shapes import RouteFigures, RouteRow

STEP_S = 15.0
STEPS = 20
_STEPS_OF_A_MINUTE = 4
# When it began, and the numbers of each route that had requests; seconds, monotonic.
Step: TypeAlias = "tuple[float, dict[Key, array[float]]]"
# Of one route in one step.
_BYTES = 8 * WIDTH + 160


class RouteTraffic:
    """
    Steps of 15 s, each with the routes that had requests.

    Args:
        max_bytes: of all steps; of too many routes the busiest stay.
    """

    def __init__(self, max_bytes: int) -> None:
        self._most = max(10, max_bytes // (_BYTES * STEPS))
        self._before: dict[Key, array[float]] | None = None
        self._before_at = 0.0
        self._steps: deque[Step] = deque(maxlen=STEPS)
        self._added = 0
        # The rows, and after how many calls of `add` they were made.
        self._rows: tuple[int, list[RouteRow]] = (-1, [])

    def add(self, totals: dict[Key, array[float]], now: float) -> array[float]:
        """Note the present totals; return the differences of all routes together since the last call."""
        everything = array("d", bytes(8 * WIDTH))
        self._added += 1
        before, self._before = self._before, totals
        began, self._before_at = self._before_at, now
        if before is None:
            return everything
        if not self._steps or now - self._steps[-1][0] > STEP_S:
            self._steps.append((began, {}))
        changed = self._steps[-1][1]
        for key, present in totals.items():
            old = before.get(key)
            if old is not None and old[0] == present[0]:
                continue
            step = changed.get(key)
            if step is None:
                step = changed[key] = array("d", bytes(8 * WIDTH))
            for index in range(WIDTH):
                # A label set that was removed begins again at zero.
                more = max(0.0, present[index] - (old[index] if old is not None else 0.0))
                step[index] += more
                everything[index] += more
        if len(changed) > 2 * self._most:
            for key in sorted(changed, key=lambda key: changed[key][0])[: -self._most]:
                del changed[key]
        return everything

    def rows(self, now: float) -> list[RouteRow]:
        """Return the routes of the last five minutes, the busiest first; the same list until the next `add`."""
        added, rows = self._added, self._rows
        if rows[0] == added:
            return rows[1]
        steps = list(self._steps)
        counts: dict[Key, float] = {}
        for _, changed in steps:
            for key, numbers in changed.items():
                counts[key] = counts.get(key, 0.0) + numbers[0]
        busiest = sorted(counts, key=lambda key: (-counts[key], key))[: self._most]
        self._rows = added, [_row(key, steps, now) for key in busiest]
        return self._rows[1]


def _row(key: Key, steps: list[Step], now: float) -> RouteRow:
    route, method = key
    return {
        "id": f"{method} {route}",
        "route": route,
        "method": method,
        "m1": figures(key, steps[-_STEPS_OF_A_MINUTE:], now),
        "m5": figures(key, steps, now),
        "line": [round((changed[key][0] if key in changed else 0.0) / STEP_S, 3) for _, changed in steps],
    }


def figures(key: Key, steps: list[Step], now: float) -> RouteFigures:
    """Return the figures of a route over some steps."""
    numbers = array("d", bytes(8 * WIDTH))
    for _, changed in steps:
        for index, count in enumerate(changed.get(key, ())):
            numbers[index] += count
    lasted_s = max(1.0, now - steps[0][0]) if steps else 1.0
    counts = numbers[HEAD:]
    return {
        "rate": round(numbers[0] / lasted_s, 3),
        "p50": ms(quantile(0.5, counts, EDGES_S)),
        "p95": ms(quantile(0.95, counts, EDGES_S)),
        "p99": ms(quantile(0.99, counts, EDGES_S)),
        "error_share": round(numbers[1] / numbers[0], 4) if numbers[0] else None,
    }


def ms(seconds: float | None) -> float | None:
    """Return seconds as milliseconds with three digits."""
    return None if seconds is None else round(seconds * 1e3, 3)


__all__ = ["STEPS", "STEP_S", "RouteTraffic", "figures", "ms"]
