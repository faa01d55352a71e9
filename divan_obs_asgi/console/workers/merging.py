"""Merges what several workers have kept: each function takes the worker's parts and returns the service's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite
from typing import Any, TypeAlias

from divan_obs_asgi.console.limits import REQUESTS_OF_AN_ERROR, ROUTES_OF_AN_ERROR

Fields: TypeAlias = dict[str, Any]
Line: TypeAlias = Sequence[float | None]

# Points of an hour's line.
MAX_POINTS = 60


def newest_first(parts: Iterable[Iterable[Fields]]) -> list[Fields]:
    """Return the entries of all workers by `at`, the newest first; of several with one id the last one counts."""
    by_id: dict[object, Fields] = {}
    for part in parts:
        for entry in part:
            by_id[entry["id"]] = entry
    return sorted(by_id.values(), key=lambda entry: number(entry.get("at")), reverse=True)


def merged_errors(parts: Iterable[Iterable[Fields]]) -> list[Fields]:
    """
    Return the error groups of all workers: one for each fingerprint, with the sum of the counts.

    Of one worker the last entry of a fingerprint counts. Text and traceback are those of the worker that has seen the
    error last.
    """
    groups: dict[str, Fields] = {}
    for part in parts:
        latest = {str(entry["id"]): entry for entry in part}
        for fingerprint, entry in latest.items():
            known = groups.get(fingerprint)
            groups[fingerprint] = dict(entry) if known is None else _one_group(known, entry)
    return sorted(groups.values(), key=lambda group: number(group.get("last")), reverse=True)


def _one_group(known: Fields, other: Fields) -> Fields:
    newer, older = (known, other) if number(known.get("last")) >= number(other.get("last")) else (other, known)
    return {
        **older,
        **newer,
        "count": int(number(known.get("count")) + number(other.get("count"))),
        "first": min(number(known.get("first")), number(other.get("first"))),
        # An error that one worker had already when it started is new in none.
        "new": bool(known.get("new")) and bool(other.get("new")),
        "routes": _joined(newer, older, "routes", ROUTES_OF_AN_ERROR),
        "requests": _joined(newer, older, "requests", REQUESTS_OF_AN_ERROR),
    }


def _joined(newer: Fields, older: Fields, name: str, most: int) -> list[str]:
    lists = [part.get(name) for part in (newer, older)]
    items = (item for part in lists if isinstance(part, list) for item in part if isinstance(item, str))
    return list(dict.fromkeys(items))[:most]


def merged_numbers(parts: Sequence[Mapping[str, Fields]]) -> dict[str, Fields]:
    """
    Return the numbers of the header for all living workers.

    Rates and counts are summed. The share of errors is weighted by the rates. Of percentiles and of the loop's lag the
    highest is taken: those of the service are not known from those of its workers.
    """
    weights = [_of(part, "requests_per_s") for part in parts]
    merged = {
        name: _merged(how, [_of(part, name) for part in parts])
        for name, how in (
            ("requests_per_s", sum),
            ("p95_ms", max),
            ("in_flight", sum),
            ("loop_lag_ms", max),
            ("clients", sum),
        )
    }
    shares = [_of(part, "error_share") for part in parts]
    length = max((len(line) for _, line in shares), default=0)
    merged["error_share"] = {
        "now": _weighted([now for now, _ in shares], [now for now, _ in weights]),
        "line": [
            _weighted([_back(line, back) for _, line in shares], [_back(line, back) for _, line in weights])
            for back in range(length, 0, -1)
        ],
    }
    return merged


def sum_of_counts(parts: Iterable[Mapping[str, object]]) -> dict[str, int]:
    """Return the sum of each count."""
    counts: dict[str, int] = {}
    for part in parts:
        for name, value in part.items():
            counts[name] = counts.get(name, 0) + int(number(value))
    return counts


def _merged(
    how: Callable[[list[float]], float], values: Sequence[tuple[float | None, Line]]
) -> dict[str, float | list[float | None] | None]:
    def one(numbers: Iterable[float | None]) -> float | None:
        known = [value for value in numbers if value is not None]
        return how(known) if known else None

    length = max((len(line) for _, line in values), default=0)
    return {
        "now": one(now for now, _ in values),
        # Lines end now, so a younger worker's line is aligned at its end.
        "line": [one(_back(line, back) for _, line in values) for back in range(length, 0, -1)],
    }


def _weighted(shares: Sequence[float | None], weights: Sequence[float | None]) -> float | None:
    pairs = [(share, weight or 0.0) for share, weight in zip(shares, weights, strict=True) if share is not None]
    total = sum(weight for _, weight in pairs)
    if not total:
        return max((share for share, _ in pairs), default=None)
    return sum(share * weight for share, weight in pairs) / total


def _back(line: Line, back: int) -> float | None:
    """Return the value that is `back` places before the end of a line."""
    return line[-back] if back <= len(line) else None


def _of(part: Mapping[str, Fields], name: str) -> tuple[float | None, Line]:
    given = part.get(name)
    if not isinstance(given, dict):
        return None, []
    line = given.get("line")
    points = line[-MAX_POINTS:] if isinstance(line, list) else []
    return _known(given.get("now")), [_known(value) for value in points]


def _known(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
        return None
    return value


def number(value: object) -> float:
    """Return a value of a file as a number; 0 for anything else."""
    known = _known(value)
    return 0.0 if known is None else known


__all__ = ["Fields", "merged_errors", "merged_numbers", "newest_first", "number", "sum_of_counts"]
