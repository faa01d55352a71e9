"""The routes of several workers, as one table: rates are added up, of a quantile the slowest worker's is shown."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import orjson

from divan_obs_asgi.console.shapes import RouteFigures, RouteRow


class MergedRoutes:
    """
    Each route once, the busiest first. A row is merged when it is shown: most answers show a part of them.

    Args:
        tables: the rows of each worker.
    """

    def __init__(self, tables: Sequence[list[RouteRow]]) -> None:
        self.tables = tables
        found: dict[str, list[RouteRow]] = {}
        rates: dict[str, float] = {}
        for table in tables:
            for row in table:
                key = row["id"]
                found.setdefault(key, []).append(row)
                rates[key] = rates.get(key, 0.0) - row["m5"]["rate"]
        self._rows = [found[key] for _, key in sorted((rate, key) for key, rate in rates.items())]
        self._merged: dict[int, RouteRow] = {}

    def all(self) -> list[RouteRow]:
        return [self._row(at) for at in range(len(self._rows))]

    def _row(self, at: int) -> RouteRow:
        row = self._merged.get(at)
        if row is None:
            row = self._merged[at] = _merged(self._rows[at])
        return row

    def some(self, room: int, turn: int) -> list[RouteRow]:
        """Return the busiest routes within half of so many bytes, and in turn a part of the others within the rest."""
        found: list[RouteRow] = []
        total = len(self._rows)
        at, busiest = 0, room // 2
        while at < total and busiest > 0:
            found.append(self._row(at))
            busiest -= _size(found[-1])
            at += 1
        rest, left = total - at, room - room // 2
        # A step that is no multiple of their number, so that each one's turn comes.
        start = turn * max(1, len(found)) % rest if rest else 0
        for step in range(rest):
            if left <= 0:
                break
            found.append(self._row(at + (start + step) % rest))
            left -= _size(found[-1])
        return found


def _size(row: RouteRow) -> int:
    return len(orjson.dumps(row)) + 1


def _merged(rows: list[RouteRow]) -> RouteRow:
    if len(rows) == 1:
        return rows[0]
    # All end with the same step.
    lines = zip_longest(*(row["line"][::-1] for row in rows), fillvalue=0.0)
    return {
        **rows[0],
        "m1": _merged_figures([row["m1"] for row in rows]),
        "m5": _merged_figures([row["m5"] for row in rows]),
        "line": [round(sum(points), 3) for points in lines][::-1],
    }


def _merged_figures(figures: list[RouteFigures]) -> RouteFigures:
    rate = sum(one["rate"] for one in figures)
    errors = sum((one["error_share"] or 0.0) * one["rate"] for one in figures)
    return {
        "rate": round(rate, 3),
        "p50": _slowest([one["p50"] for one in figures]),
        "p95": _slowest([one["p95"] for one in figures]),
        "p99": _slowest([one["p99"] for one in figures]),
        "error_share": round(errors / rate, 4) if rate else None,
    }


def _slowest(values: list[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


__all__ = ["MergedRoutes"]
