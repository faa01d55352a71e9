"""One request as it is opened: its calls as bars, its log lines, its error."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson

from divan_obs_asgi.console.limits import LINES, MESSAGE, NAME, TEXT
from divan_obs_asgi.console.requests import EXTRA, FIRST_BYTE, STARTED, TRAIL, Entry
from divan_obs_asgi.console.shapes import CallRow, ErrorGroup, LineRow, RequestDetails, RequestRow
from divan_obs_asgi.console.trail import Trail

# Fields of every line, which are shown elsewhere.
_OF_EVERY_LINE = frozenset(
    [
        "ts",
        "level",
        "msg",
        "logger",
        "service",
        "env",
        "commit",
        "request_id",
        "trace_id",
        "span_id",
        "route",
        "status",
        "latency_ms",
        "sample_rate",
    ]
)
_MAX_FIELDS = 20


def row_of(
    entry: Entry, pid: int, classes: list[str], text: Callable[[str], str], *, debug: bool = False
) -> RequestRow:
    """Return the row of a request; `text` redacts what an application may have put into a route or an id."""
    row: RequestRow | None = entry.row
    if row is None:
        (
            _,
            started_ns,
            kind,
            method,
            route,
            status,
            outcome,
            seconds,
            size,
            _,
            trace_id,
            request_id,
            trail,
            extra,
        ) = entry.raw
        row = {
            "id": f"{pid}-{entry.number}",
            "at": started_ns / 1e9,
            "kind": kind,
            "method": method,
            "route": shown(text(route), 2 * NAME),
            "status": status,
            "outcome": str(outcome),
            "ms": round(seconds * 1e3, 3),
            "bytes": size,
            "worker": pid,
            "trace_id": shown(trace_id, 32),
            "request_id": shown(text(request_id), NAME) if request_id else "",
            "error": extra.error if extra is not None else "",
            "classes": classes,
            "calls": trail.call_count if trail is not None else 0,
            "debug": debug or (extra is not None and extra.debug),
        }
    elif row["classes"] != classes:
        row = {**row, "classes": classes}
    entry.row = row
    return row


def details_of(entry: Entry, row: RequestRow, error: ErrorGroup | None, prefix: str = "") -> RequestDetails:
    """Return what GET /ops/console/requests/{id} shows."""
    raw = entry.raw
    first_byte_s, trail, extra = raw[FIRST_BYTE], raw[TRAIL], raw[EXTRA]
    return {
        "request": {
            **row,
            "first_byte_ms": None if first_byte_s is None else round(first_byte_s * 1e3, 3),
            "fields": dict(extra.fields) if extra is not None else {},
            "waited": dict(extra.waited) if extra is not None else {},
        },
        "calls": _calls(trail, raw[STARTED] / 1e9) if trail is not None else [],
        "lines": _lines(trail) if trail is not None else [],
        "error": error,
        "curl": _curl(row),
        "dropped": {
            "calls": trail.dropped_calls if trail is not None else 0,
            "lines": trail.dropped_lines if trail is not None else 0,
        },
    }


def _calls(trail: Trail, started: float) -> list[CallRow]:
    return [
        {
            "kind": call.kind,
            "name": shown(call.name, NAME),
            "text": shown(call.text, TEXT),
            "start_ms": round(max(0.0, call.at - started) * 1e3, 3),
            "ms": round(call.seconds * 1e3, 3),
            "ok": call.ok,
            "n": call.count,
        }
        for call in tuple(trail.calls.values())
    ]


def _lines(trail: Trail) -> list[LineRow]:
    """Return the lines by time: those of the flight recorder are written at the end."""
    lines = [line for line in map(_line, tuple(trail)[:LINES]) if line is not None]
    return sorted(lines, key=lambda line: line["at"])


def _line(line: bytes) -> LineRow | None:
    try:
        # The feed has cut the last character off.
        fields: dict[str, Any] = orjson.loads(line + b"}")
        rest = {key: value for key, value in fields.items() if key not in _OF_EVERY_LINE}
        return {
            "at": datetime.fromisoformat(fields["ts"]).timestamp(),
            "level": str(fields["level"])[:NAME],
            "logger": str(fields["logger"])[:NAME],
            "msg": str(fields["msg"])[: 2 * TEXT],
            "fields": {str(key)[:NAME]: _cut(rest[key]) for key in [*rest][:_MAX_FIELDS]},
        }
    except (ValueError, KeyError, TypeError):
        return None


def _cut(value: object) -> object:
    if isinstance(value, (bool, int, float)) or value is None:
        return value
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    # A traceback is long, and its end matters most.
    return text[-4 * MESSAGE :] if "\n" in text else text[:MESSAGE]


def _curl(row: RequestRow) -> str:
    """Return a command for the template, without any value."""
    if row["kind"] != "http" or not row["route"].startswith("/"):
        return ""
    method = f"-X {row['method']} " if row["method"] not in ("GET", "_OTHER") else ""
    # In single quotes nothing has a meaning for a shell, except the quote.
    route = row["route"].replace("'", "%27")
    return f"curl {method}'http://HOST{route}'"


def shown(text: str, length: int) -> str:
    """Return a redacted text as it is kept: cut, and valid UTF-8."""
    cut = text[:length]
    return cut if cut.isascii() else cut.encode("utf-8", "replace").decode()


__all__ = ["details_of", "row_of", "shown"]
