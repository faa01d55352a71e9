"""The state of the ops console as lines of text: the header and the table of routes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Any
from unicodedata import combining, east_asian_width

from divan_obs_asgi.redaction.letters import visible

# Method, route, rate, p50, p95, p99, errors. Narrow terminals have fewer columns.
_COLUMNS = (("rate", "RATE/s"), ("p50", "P50 ms"), ("p95", "P95 ms"), ("p99", "P99 ms"), ("error_share", "ERRORS"))
_FEW = ("rate", "p95", "error_share")
_NARROW = 72
_CELL = 9
_MIN_ROUTE = 10
_BARS = "▁▂▃▄▅▆▇█"
_NUMBERS = (
    ("requests_per_s", "requests", "/s"),
    ("error_share", "errors", ""),
    ("p95_ms", "p95", " ms"),
    ("in_flight", "in flight", ""),
    ("loop_lag_ms", "loop lag", " ms"),
    ("clients", "clients", ""),
)


def screen(state: dict[str, Any], width: int, height: int | None = None, *, unicode: bool = True) -> list[str]:
    """
    Return the lines, none wider than `width`; a part of the state with another shape is left out.

    Args:
        height: the maximum number of lines; None for all routes.
        unicode: whether the terminal shows block characters.
    """
    lines = [*_header(state, width, unicode=unicode), ""]
    rows = _routes(state)
    room = None if height is None else max(0, height - len(lines) - 1)
    hidden = 0 if room is None or len(rows) <= room else len(rows) - max(0, room - 1)
    lines += _table(rows[: len(rows) - hidden], width)
    if hidden:
        lines.append(f"{hidden} more routes")
    return [cut(line.rstrip(), width) for line in lines[:height]]


def _header(state: dict[str, Any], width: int, *, unicode: bool) -> list[str]:
    service, workers = _dict(state.get("service")), _dict(state.get("workers"))
    names = [_text(service.get(name)) for name in ("name", "env", "version", "commit")]
    ready = "draining" if service.get("draining") else "ready" if service.get("ready") else "NOT READY"
    listed = [one for one in _list(workers.get("list")) if isinstance(one, dict)]
    alive = sum(one.get("alive") is True for one in listed)
    if workers.get("known"):
        count = f"{alive} worker{'s' * (alive != 1)}"
        if alive < len(listed):
            count += f", {len(listed) - alive} ended"
    else:
        count = "this worker of unknown many"
    up = _age(_number(state.get("now")), _number(service.get("started")))
    lines = ["  ".join(part for part in (" ".join(filter(None, names)), ready, up, count) if part)]
    numbers = _dict(state.get("numbers"))
    cells = [
        f"{title} {_shown(name, _dict(numbers.get(name)).get('now'))}{unit}"
        + (_spark(_list(_dict(numbers.get(name)).get("line"))) if unicode and width >= _NARROW else "")
        for name, title, unit in _NUMBERS
    ]
    return lines + _wrapped(cells, width)


def _wrapped(cells: Iterable[str], width: int) -> list[str]:
    lines = [""]
    for cell in cells:
        longer = f"{lines[-1]}   {cell}" if lines[-1] else cell
        if lines[-1] and len(longer) > width:
            lines.append(cell)
        else:
            lines[-1] = longer
    return lines


def _spark(line: Sequence[object]) -> str:
    """Return the last points of a line as bars."""
    points = [_number(value) for value in line[-12:]]
    highest = max((value for value in points if value is not None), default=0.0)
    if not highest > 0:
        return ""
    last = len(_BARS) - 1
    return " " + "".join(" " if one is None else _BARS[round(max(0.0, one) / highest * last)] for one in points)


def _routes(state: dict[str, Any]) -> list[dict[str, Any]]:
    rows = [row for row in _list(state.get("routes")) if isinstance(row, dict)]
    return sorted(rows, key=lambda row: (-(_number(_dict(row.get("m1")).get("rate")) or 0.0), _text(row.get("route"))))


def _table(rows: Sequence[dict[str, Any]], width: int) -> list[str]:
    columns = [one for one in _COLUMNS if width >= _NARROW or one[0] in _FEW]
    room = max(_MIN_ROUTE, width - _CELL * len(columns))
    names = [" ".join(filter(None, (_text(row.get("method")), _text(row.get("route"))))) for row in rows]
    # No wider than needed: on a wide screen the numbers would be far from their route.
    room = min(room, max([*map(cells, names), 24]) + 2)
    lines = [padded("ROUTE (1 minute)", room) + "".join(title.rjust(_CELL) for _, title in columns)]
    for row, name in zip(rows, names, strict=True):
        figures = _dict(row.get("m1"))
        numbers = "".join(_shown(key, figures.get(key)).rjust(_CELL) for key, _ in columns)
        lines.append(padded(cut(name, room - 1), room) + numbers)
    return lines


def _shown(name: str, value: object) -> str:
    number = _number(value)
    if number is None:
        return "-"
    if name == "error_share":
        return f"{number * 100:.1f} %"
    if name in ("in_flight", "clients"):
        return f"{number:.0f}"
    return f"{number:.1f}" if abs(number) < 1000 else f"{number:.0f}"


def _age(now: float | None, started: float | None) -> str:
    if now is None or started is None:
        return ""
    # The clock of the service may have gone back.
    seconds = int(max(0.0, now - started))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"up {seconds // size} {unit}"
    return f"up {seconds} s"


def cells(text: str) -> int:
    """Return how many cells of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


def cut(text: str, width: int) -> str:
    """Return a text that takes at most `width` cells."""
    if cells(text) <= width:
        return text
    while text and cells(text) > width - 1:
        text = text[:-1]
    return f"{text}~"[:width]


def padded(text: str, width: int) -> str:
    """Return a text with blanks up to `width` cells."""
    return text + " " * (width - cells(text))


def _text(value: object) -> str:
    # What a terminal would interpret is replaced: another program may listen at the URL.
    if not isinstance(value, str):
        return ""
    return "".join(char if char.isprintable() else "\ufffd" for char in visible(value[:500]))


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
        return None
    return value


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


__all__ = ["cells", "cut", "padded", "screen"]
