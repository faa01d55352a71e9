"""Encodes finished log lines as OTLP log records. docs/logs.md lists the attributes. Requires the extra `tracing`."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import orjson
from opentelemetry.sdk.resources import Resource

from divan_obs_asgi.connection.routes import UNMATCHED
from divan_obs_asgi.logs.lines import ACCESS_LOGGER
from divan_obs_asgi.logs.placed import PlacedLine
from divan_obs_asgi.otlp.resource import of_signal
from divan_obs_asgi.otlp.wire import any_value, attribute, field, fixed64, text

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# opentelemetry/proto/logs/v1/logs.proto, SeverityNumber: four for each range.
_SEVERITIES = {1: 5, 2: 9, 3: 13, 4: 17, 5: 21}
_MOST_SEVERE = 24
# These are in other fields of the record or in the resource.
_ELSEWHERE = frozenset({"ts", "level", "msg", "service", "env", "commit", "trace_id", "span_id", "logger"})
# The semantic conventions' names, and our own ones of spans.
_NAMES = {
    "request_id": "divan.request_id",
    "route": "http.route",
    "status": "http.response.status_code",
    "latency_ms": "divan.latency_ms",
    "outcome": "divan.outcome",
    "sample_rate": "divan.sample_rate",
    "recorded": "divan.recorded",
    "waited": "divan.waited",
    "operation": "divan.operation",
    "failure": "divan.failure",
    "close_code": "websocket.close_code",
    "namespace": "socketio.namespace",
    "event": "socketio.event",
    "stack": "code.stacktrace",
    "thread_name": "thread.name",
    "user_id": "user.id",
}
# Attributes with few distinct values, whose bytes are cached.
_REPEATED = frozenset(
    {
        *("route", "status", "outcome", "sample_rate", "operation", "failure", "namespace", "event"),
        *("http.request.method", "code.file.path", "code.function.name", "code.line.number"),
    }
)
_REMEMBERED = 4096
_SCALARS = frozenset({str, int, float})
_UNFAILED = frozenset({"ok", "client_disconnect", "cancelled"})
_SWITCHING_PROTOCOLS = 101


class LineEncoder:
    """Encodes batches of lines as ExportLogsServiceRequest, and caches the bytes of repeated attributes."""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self._known: dict[tuple[str, object, type], bytes] = {}

    def encoded(self, lines: Sequence[bytes]) -> bytes:
        """Return the request for `lines`, grouped by logger in order of appearance: a logger is a scope."""
        scopes: dict[str, list[bytes]] = {}
        for line in lines:
            try:
                # orjson takes no subclass of bytes.
                fields = orjson.loads(memoryview(line))
                name, record = fields["logger"], self._record(line, fields)
            except (ValueError, LookupError, TypeError, AttributeError):
                # A field has an unexpected type. The batch must not wait for ever because of one line.
                name, record = "", field(5, any_value(line.decode("utf-8", "replace").rstrip()))
            scopes.setdefault(name, []).append(field(2, record))
        content = b"".join(field(2, field(1, text(1, name)) + b"".join(parts)) for name, parts in scopes.items())
        return of_signal(self._resource, content)

    def _record(self, line: bytes, fields: dict[str, Any]) -> bytes:
        time = fixed64(1, _nanoseconds(fields["ts"]))
        parts = [time, _severity(fields["level"]), field(5, any_value(fields["msg"]))]
        is_access = fields["logger"] == ACCESS_LOGGER
        known = self._known
        for pair in _attributes(line, fields, is_access=is_access):
            # With the type: True and 1.0 equal 1.
            if pair[0] in _REPEATED and type(pair[1]) in _SCALARS:
                parts.append(known.get((*pair, type(pair[1]))) or self._attribute(*pair))
            else:
                parts.append(_attribute(*pair))
        if fields["trace_id"]:
            parts += field(9, bytes.fromhex(fields["trace_id"])), field(10, bytes.fromhex(fields["span_id"]))
        # Field 11, the time at which the record was observed: the line was built then.
        parts.append(b"\x59" + time[1:])
        if is_access:
            parts.append(text(12, _event_name(fields)))
        return b"".join(parts)

    def _attribute(self, name: str, value: object) -> bytes:
        encoded = _attribute(name, value)
        if len(self._known) < _REMEMBERED:
            self._known[name, value, type(value)] = encoded
        return encoded


def _attribute(name: str, value: object) -> bytes:
    return attribute(6, _NAMES.get(name, name), value)


def _attributes(line: bytes, fields: dict[str, Any], *, is_access: bool) -> Iterator[tuple[str, object]]:
    for name, value in fields.items():
        if name == "error" and isinstance(value, dict):
            yield from _of_error(value)
        elif name not in _ELSEWHERE and value is not None and value != "" and not _is_absent(name, value):
            yield name, value
    if is_access:
        method = fields["msg"].partition(" ")[0]
        if "namespace" not in fields:
            yield "http.request.method", method
        if fields["outcome"] not in _UNFAILED and "error" not in fields:
            yield "error.type", fields.get("failure") or str(fields["status"] or fields["outcome"])
    if isinstance(line, PlacedLine):
        path, number, function = line.place
        yield "code.file.path", path
        yield "code.line.number", number
        yield "code.function.name", function


def _is_absent(name: str, value: object) -> bool:
    """Return whether a line has a field only because every line has it."""
    return (name == "status" and value == 0) or (name == "route" and value == UNMATCHED)


def _of_error(error: dict[str, Any]) -> Iterator[tuple[str, object]]:
    kind, trace = error.get("type", ""), error.get("traceback", "")
    yield "error.type", kind
    yield "exception.type", kind
    # The last line of a traceback that names the type; the message may have further lines.
    _, found, message = f"\n{trace}".rpartition(f"\n{kind}: ")
    if found:
        yield "exception.message", message
    yield "exception.stacktrace", trace
    yield "divan.exception.fingerprint", error.get("fingerprint", "")


def _event_name(fields: dict[str, Any]) -> str:
    if "namespace" in fields:
        return "divan.socketio.event"
    is_websocket = fields["status"] == _SWITCHING_PROTOCOLS or "close_code" in fields
    return "divan.websocket.connection" if is_websocket else "divan.http.request"


@lru_cache(maxsize=1024)
def _severity(level: str) -> bytes:
    """Return severity number and text of a level's name; without the number if the level is not known."""
    number = logging.getLevelNamesMapping().get(level)
    if number is None:
        return text(3, level)
    if number < logging.DEBUG:
        return b"\x10\x01" + text(3, level)
    severity = _SEVERITIES[min(number // 10, 5)] + min(number % 10 if number < 60 else 3, 3)
    return bytes((0x10, min(severity, _MOST_SEVERE))) + text(3, level)


def _nanoseconds(ts: str) -> int:
    return (datetime.fromisoformat(ts) - _EPOCH) // _MICROSECOND * 1000


__all__ = ["LineEncoder"]
