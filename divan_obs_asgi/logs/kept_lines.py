"""Suppressed lines as the flight recorder keeps them: what they consist of, and rendered only if they are written."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from divan_obs_asgi.logs.libraries import reduced_framework_line, reducer_of
from divan_obs_asgi.logs.lines import FIELDS_KEY, HIDDEN_KEY, STANDARD_ATTRIBUTES, LineRequest, Lines
from divan_obs_asgi.logs.socketio_lines import reduced

# Values that cannot change after the call. Subclasses may have a `__str__` of their own.
_CONSTANT = frozenset({str, int, float, bool, type(None)})
# Characters of a message, of its arguments or of a field. A longer line is rendered at once, which cuts it.
_MAX_TEXT = 4096
_MAX_FIELDS = 32
# Bytes of the fields that every line has.
_LINE_BYTES = 400


class KeptLine:
    """
    A line whose parts are kept as they were at the time of the call.

    It holds texts, numbers and ids only: no object of the application, no record, no exception.
    """

    __slots__ = (
        "_args",
        "_created",
        "_extra",
        "_fields",
        "_ids",
        "_level_name",
        "_lines",
        "_msg",
        "_name",
        "_place",
        "size",
    )

    def __init__(
        self,
        lines: Lines,
        record: logging.LogRecord,
        request: LineRequest,
        msg: str,
        args: tuple[object, ...],
        extra: dict[str, object] | None,
        fields: dict[str, object] | None,
        size: int,
    ) -> None:
        self._lines = lines
        self._created = record.created
        self._level_name = record.levelname
        self._name = record.name
        self._place = (record.pathname, record.lineno, record.funcName) if lines.has_places else None
        self._msg = msg
        self._args = args
        self._extra = extra
        self._fields = fields
        self._ids = (request.request_id, request.trace_id, request.span_id, request.route_so_far())
        self.size = size

    def render(self, request: LineRequest) -> bytes:
        """Return the line with the ids of the time of the call, and without the texts that `request` hides by now."""
        attributes: dict[str, Any] = {
            **(self._extra or {}),
            "created": self._created,
            "levelname": self._level_name,
            "name": self._name,
            "msg": self._msg,
            "args": self._args,
        }
        if self._fields is not None:
            attributes[FIELDS_KEY] = self._fields
        if self._place is not None:
            attributes["pathname"], attributes["lineno"], attributes["funcName"] = self._place
        record = logging.makeLogRecord(attributes)
        return self._lines.application(record, _Moment(*self._ids, request.hidden), 1.0, recorded=True)


class _Moment:
    """What a line needs of its request, as it was at the time of the call."""

    def __init__(self, request_id: str, trace_id: str, span_id: str, route: str, hidden: tuple[str, ...]) -> None:
        self.request_id = request_id
        self.trace_id = trace_id
        self.span_id = span_id
        self.hidden = hidden
        self._route = route

    def route_so_far(self) -> str:
        return self._route


def kept_line(lines: Lines, record: logging.LogRecord, request: LineRequest) -> KeptLine | bytes:
    """
    Return what the flight recorder keeps of a suppressed line: a few constant values, or else the finished line.

    A line is finished at once if it has an exception, a stack or a field that may change, if it is long, or if it comes
    from a library whose lines lose their data. An argument of another type than text or number is formatted at once.
    """
    simple = _simple(lines, record, request)
    return lines.application(record, request, 1.0, recorded=True) if simple is None else simple


def _simple(lines: Lines, record: logging.LogRecord, request: LineRequest) -> KeptLine | None:
    msg, args = record.msg, record.args
    if type(msg) is not str or record.exc_info or record.stack_info or hasattr(record, HIDDEN_KEY):
        return None
    if reduced(record) is not None or reducer_of(record.name) is not None or reduced_framework_line(record) is not None:
        return None
    if not (type(args) is tuple and _CONSTANT.issuperset(map(type, args))):
        try:
            msg, args = lines.formatted(record), ()
        except Exception:
            return None
    assert isinstance(args, tuple)
    size = _LINE_BYTES + len(msg)
    for argument in args:
        if type(argument) is str:
            size += len(argument)
    attributes = vars(record)
    extra = None
    if not STANDARD_ATTRIBUTES.issuperset(attributes):
        extra = _constant({key: value for key, value in attributes.items() if key not in STANDARD_ATTRIBUTES})
        if extra is None:
            return None
        size += _size(extra)
    fields = None
    if (given := attributes.get(FIELDS_KEY)) is not None:
        fields = _constant(given) if isinstance(given, Mapping) else None
        if fields is None:
            return None
        size += _size(fields)
    if size > _MAX_TEXT:
        return None
    return KeptLine(lines, record, request, msg, args, extra, fields, size)


def _constant(fields: Mapping[Any, object]) -> dict[str, object] | None:
    """Return a copy of fields whose names and values cannot change; None if there are others, or too many."""
    if len(fields) > _MAX_FIELDS:
        return None
    copy = dict(fields)
    return copy if _CONSTANT.issuperset(map(type, copy.values())) and set(map(type, copy)) <= {str} else None


def _size(fields: dict[str, object]) -> int:
    return sum(len(key) + (len(value) if isinstance(value, str) else 8) for key, value in fields.items())


__all__ = ["KeptLine", "kept_line"]
