"""What several workers keep, as one service: counts and rates are added up, of a quantile the worst is shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from divan_obs_asgi.console.shapes import NUMBERS, Forgotten, Number, RouteFigures, RouteRow, Snapshot

# Numbers of several workers: these are added up, the others are the largest.
_ADDED = frozenset({"requests_per_s", "in_flight", "clients"})


def merged_errors(rows: list[Any]) -> list[Any]:
    """Return one group for each id: counts are added up, and the newest message is shown."""
    found: dict[str, Any] = {}
    for row in rows:
        known = found.pop(row["id"], None)
        if known is not None:
            row = {
                **row,
                "count": known["count"] + row["count"],
                "first": min(known["first"], row["first"]),
                "last": max(known["last"], row["last"]),
                "new": known["new"] and row["new"],
                "routes": list(dict.fromkeys([*row["routes"], *known["routes"]]))[:5],
                "requests": [*known["requests"], *row["requests"]][-3:],
            }
        found[row["id"]] = row
    return list(found.values())


def merged_numbers(all_numbers: Sequence[dict[str, Number]]) -> dict[str, Number]:
    """Return the numbers of the service: added up, or the worst worker's."""
    return {name: _merged_number(name, [one[name] for one in all_numbers if name in one]) for name in NUMBERS}


def _merged_number(name: str, numbers: Sequence[Number]) -> Number:
    length = max((len(one["line"]) for one in numbers), default=0)
    lines: list[list[float | None]] = [[*[None] * (length - len(one["line"])), *one["line"]] for one in numbers]
    return {
        "now": _combined(name, [one["now"] for one in numbers]),
        "line": [_combined(name, points) for points in zip(*lines, strict=True)],
    }


def _combined(name: str, values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    return round(sum(known), 4) if name in _ADDED else max(known)


def merged_routes(tables: Sequence[list[RouteRow]]) -> list[RouteRow]:
    """Return each route once: rates are added up, quantiles are the slowest worker's."""
    if len(tables) == 1:
        return tables[0]
    found: dict[str, RouteRow] = {}
    for row in (row for table in tables for row in table):
        known = found.get(row["id"])
        if known is None:
            found[row["id"]] = row
            continue
        length = max(len(known["line"]), len(row["line"]))
        lines = [[0.0] * (length - len(line)) + line for line in (known["line"], row["line"])]
        found[row["id"]] = {
            **known,
            "m1": _merged_figures(known["m1"], row["m1"]),
            "m5": _merged_figures(known["m5"], row["m5"]),
            "line": [round(one + other, 3) for one, other in zip(*lines, strict=True)],
        }
    return sorted(found.values(), key=lambda row: (-row["m5"]["rate"], row["id"]))


def _merged_figures(one: RouteFigures, other: RouteFigures) -> RouteFigures:
    rate = one["rate"] + other["rate"]
    errors = sum((part["error_share"] or 0.0) * part["rate"] for part in (one, other))

    def slowest(a: float | None, b: float | None) -> float | None:
        return max((value for value in (a, b) if value is not None), default=None)

    return {
        "rate": round(rate, 3),
        "p50": slowest(one["p50"], other["p50"]),
        "p95": slowest(one["p95"], other["p95"]),
        "p99": slowest(one["p99"], other["p99"]),
        "error_share": round(errors / rate, 4) if rate else None,
    }


def merged_forgotten(snapshots: Sequence[Snapshot]) -> Forgotten:
    return {
        "requests": sum(one["forgotten"]["requests"] for one in snapshots),
        "errors": sum(one["forgotten"]["errors"] for one in snapshots),
        "changes": sum(one["forgotten"]["changes"] for one in snapshots),
        "bytes": sum(one["forgotten"]["bytes"] for one in snapshots),
    }


__all__ = ["merged_errors", "merged_forgotten", "merged_numbers", "merged_routes"]
