"""What several workers keep, as one service: counts and rates are added up, of a quantile the worst is shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from divan_obs_asgi.console.limits import REQUESTS_OF_AN_ERROR, ROUTES_OF_AN_ERROR
from divan_obs_asgi.console.shapes import NUMBERS, ErrorGroup, Forgotten, Number, Snapshot

# Numbers of several workers: these are added up, the others are the largest.
_ADDED = frozenset({"requests_per_s", "in_flight", "clients"})


def merged_errors(snapshots: Sequence[Snapshot]) -> list[tuple[float, ErrorGroup]]:
    """Return one group for each id, with when it has changed: counts are added up, and the newest message is shown."""
    found: dict[str, tuple[float, ErrorGroup]] = {}
    for changed, row, *_ in sorted((one for snapshot in snapshots for one in snapshot["errors"]), key=_last):
        known = found.pop(row["id"], None)
        if known is not None:
            changed, before = max(changed, known[0]), known[1]
            row = {
                **row,
                "count": before["count"] + row["count"],
                "first": min(before["first"], row["first"]),
                "new": before["new"] and row["new"],
                "routes": list(dict.fromkeys([*row["routes"], *before["routes"]]))[:ROUTES_OF_AN_ERROR],
                "requests": [*before["requests"], *row["requests"]][-REQUESTS_OF_AN_ERROR:],
            }
        found[row["id"]] = changed, row
    return list(found.values())


def _last(one: tuple[Any, ...]) -> float:
    return float(one[1]["last"])


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


def merged_forgotten(snapshots: Sequence[Snapshot]) -> Forgotten:
    return {
        "requests": sum(one["forgotten"]["requests"] for one in snapshots),
        "errors": sum(one["forgotten"]["errors"] for one in snapshots),
        "changes": sum(one["forgotten"]["changes"] for one in snapshots),
        "bytes": sum(one["forgotten"]["bytes"] for one in snapshots),
    }


__all__ = ["merged_errors", "merged_forgotten", "merged_numbers"]
