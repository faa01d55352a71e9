"""Builds the log lines of requests, and of records of the standard library. docs/logs.md lists the fields."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any, Protocol

import orjson

from divan_obs_asgi.connection.app_errors import own_failure
from divan_obs_asgi.connection.record import Record
from divan_obs_asgi.logs.errors import describe_error, describe_stack, exception_of, is_without_application
from divan_obs_asgi.logs.libraries import reduced_framework_line, reducer_of
from divan_obs_asgi.logs.placed import Place, PlacedLine
from divan_obs_asgi.logs.socketio_lines import REDUCED_KEY, reduced, sessions_in
from divan_obs_asgi.names import class_name
from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.redaction.errors import marker_for, without_texts, without_tracebacks
from divan_obs_asgi.redaction.letters import visible
from divan_obs_asgi.redaction.policy import TRACEBACK
from divan_obs_asgi.redaction.text import HIDDEN
from divan_obs_asgi.redaction.view import Budget

ACCESS_LOGGER = "divan_obs_asgi.access"
# The attribute of a LogRecord that holds business fields as a mapping. `extra` forbids some names of fields.
FIELDS_KEY = "divan_obs_fields"
# The attribute of a LogRecord that holds ids which are credentials, if the text of its exception contains them.
HIDDEN_KEY = "divan_obs_hidden"

# Attributes of every LogRecord, which are not business fields. `color_message` is uvicorn's: the message again, with
# ANSI escapes.
STANDARD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
    FIELDS_KEY,
    HIDDEN_KEY,
    REDUCED_KEY,
}
_MAX_FIELDS = 32
# Characters that are read of all fields together, so that a line takes at most a few milliseconds of the event loop.
_FIELDS_ROOM = 6144
# Log calls of the code; more would mean that paths are made from data.
_MOST_PLACES = 4096
# Names of levels and loggers are short. A longer one contains data.
_MAX_NAME = 200
_ACCESS_LEVELS = {
    "ok": logging.INFO,
    "client_disconnect": logging.INFO,
    # A client can cause as many as it likes: sampled like other requests under load.
    "refused": logging.INFO,
    "cancelled": logging.WARNING,
    "incomplete": logging.ERROR,
}
_LEVEL_NAMES = {logging.INFO: "INFO", logging.WARNING: "WARNING", logging.ERROR: "ERROR"}
_HIDDEN = HIDDEN.encode()
_RECORDED = b',"recorded":true}'
# A control character other than tab, as orjson writes them.
_ESCAPES = re.compile(rb"\\u00[01][0-9a-f]")
_SHORT = {rb"\b": rb"\u2408", rb"\f": rb"\u240c", rb"\n": rb"\u240a", rb"\r": rb"\u240d"}
# For texts whose line ends stay.
_IN_LINES = _SHORT | {rb"\n": rb"\n"}


def timestamp(unix_ns: int) -> str:
    """Return RFC 3339 in UTC with microseconds."""
    # Text is faster: formatting a number to a width would take as long as the rest of this function.
    microseconds = str(unix_ns // 1000).zfill(6)
    return f"{_to_the_second(microseconds[:-6])}{microseconds[-6:]}Z"


@lru_cache(maxsize=8)
def _to_the_second(seconds: str) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(int(seconds or "0")))


def access_level(record: Record) -> int:
    """Return the level of a finished record's line."""
    if record.status >= 500 or (record.error is not None and own_failure(record.error, record.hang_up) is not None):
        return logging.ERROR
    return _ACCESS_LEVELS.get(record.outcome or "", logging.ERROR)


class LineRequest(Protocol):
    """What a line has of its request."""

    @property
    def request_id(self) -> str: ...

    @property
    def trace_id(self) -> str: ...

    @property
    def span_id(self) -> str: ...

    @property
    def hidden(self) -> tuple[str, ...]: ...

    def route_so_far(self) -> str: ...


class Lines:
    """
    Builds lines, with the fields that are the same in all of them.

    Attributes:
        has_places: whether lines of a LogRecord carry the place in the code, for the export by OTLP.
    """

    def __init__(self, service: str, env: str, commit: str, policy: RedactionPolicy) -> None:
        self._service = service
        self._env = env
        self._commit = commit
        self._policy = policy
        self.has_places = False
        # Redacted: other libraries make records too, with any text.
        self._places: dict[Place, Place] = {}

    def access(self, record: Record, level: int, sample_rate: float, recorded: bool = False) -> bytes:
        """Return the line of a finished record."""
        request_id, route, error, fields = record.request_id, record.route, record.error, record.fields
        line: dict[str, Any] = {
            "ts": timestamp(record.started_ns + int(record.duration_s * 1e9)),
            "level": _LEVEL_NAMES[level],
            "msg": f"{record.method} {route}",
            "service": self._service,
            "env": self._env,
            "commit": self._commit,
            "request_id": request_id,
            "trace_id": record.trace_id,
            "span_id": record.span_id,
            "route": route,
            "status": record.status if record.kind != "event" else None,
            "latency_ms": int(record.duration_s * 1e6) / 1e3,
            "logger": ACCESS_LOGGER,
            "outcome": record.outcome,
            "sample_rate": sample_rate,
        }
        if record.close_code is not None:
            line["close_code"] = record.close_code
        if record.details is not None:
            line.update(record.details)
        if error is None and not fields and not recorded and not record.hidden and (request_id + route).isprintable():
            # Most lines take this way. These checks take a tenth of the time of searching the line.
            return orjson.dumps(line)
        if error is not None:
            line["error"] = describe_error(error, self._policy)
        if fields:
            self._add_fields(line, fields, self._policy.line_budget())
        return _finished(line, recorded, record.hidden)

    def application(
        self, record: logging.LogRecord, request: LineRequest | None, sample_rate: float, *, recorded: bool = False
    ) -> bytes:
        """Return the line of a LogRecord, with the ids of the request in which it was written."""
        line = self._of_record(record, request, sample_rate, recorded=recorded)
        return self._placed(line, record) if self.has_places else line

    def _of_record(
        self, record: logging.LogRecord, request: LineRequest | None, sample_rate: float, *, recorded: bool
    ) -> bytes:
        line = self._head(record, request)
        budget = self._policy.line_budget()
        text = reduced(record)
        is_socketio_line = text is not None
        if text is None and (reducer := reducer_of(record.name)) is not None:
            text = reducer(record)
        without_data = reduced_framework_line(record) if text is None else text
        error = exception_of(record)
        if without_data is not None:
            line["msg"] = self._policy.redact_text(without_data, budget)
        else:
            line["msg"] = self._message(record, error, budget)
        line["sample_rate"] = sample_rate
        hidden = (*(request.hidden if request is not None else ()), *getattr(record, HIDDEN_KEY, ()))
        if error is not None:
            # python-socketio and Engine.IO also log exceptions of the application's handlers.
            is_handler_error = is_socketio_line and not is_without_application(error.__traceback__)
            places_only = text is not None and not is_handler_error
            line["error"] = describe_error(error, self._policy, budget, places_only=places_only)
            hidden += sessions_in(error.__traceback__)
        if without_data is not None:
            # Fields of such a line hold data: a connection, a request, the text of an exception.
            return _finished(line, recorded, hidden)
        if isinstance(record.stack_info, str):
            line["stack"] = describe_stack(record.stack_info, self._policy, budget)
        # Most records have no fields. This check takes a third of the time of collecting them.
        if not STANDARD_ATTRIBUTES.issuperset(vars(record)):
            extra = {key: value for key, value in vars(record).items() if key not in STANDARD_ATTRIBUTES}
            self._add_fields(line, extra, budget)
        fields = getattr(record, FIELDS_KEY, None)
        if isinstance(fields, Mapping):
            self._add_fields(line, fields, budget)
        return _finished(line, recorded, hidden)

    def unreadable(self, record: logging.LogRecord, request: Record | None) -> bytes:
        """Return the line of a LogRecord that cannot be read: a fixed message, without any of its content."""
        line = self._head(record, request)
        line["msg"] = "[redacted:unreadable]"
        line["sample_rate"] = 1.0
        return _finished(line, recorded=False)

    def _placed(self, line: bytes, record: logging.LogRecord) -> bytes:
        place = record.pathname, record.lineno, record.funcName
        if not (isinstance(place[0], str) and place[0] and type(place[1]) is int and isinstance(place[2], str)):
            return line  # Not of a log call: a print, a warning, another library's event.
        known = self._places.get(place)
        if known is None:
            known = self._policy.redact_text(place[0]), place[1], self._policy.redact_text(_written(place[2]))
            if len(self._places) < _MOST_PLACES:
                self._places[place] = known
        return PlacedLine.of(line, known)

    def _head(self, record: logging.LogRecord, request: LineRequest | None) -> dict[str, Any]:
        return {
            "ts": timestamp(_unix_ns(record.created)),
            "level": self._policy.redact_text(_written(record.levelname)),
            "msg": "",
            "service": self._service,
            "env": self._env,
            "commit": self._commit,
            "request_id": request.request_id if request is not None else "",
            "trace_id": request.trace_id if request is not None else "",
            "span_id": request.span_id if request is not None else "",
            "route": request.route_so_far() if request is not None else None,
            "status": None,
            "latency_ms": None,
            "logger": self._policy.redact_text(_written(record.name)),
        }

    def _message(self, record: logging.LogRecord, raised: BaseException | None, budget: Budget | None) -> str:
        try:
            message = self.formatted(record)
            if raised is not None:
                message = without_texts(message, raised)
            if "\n" in message:
                message = without_tracebacks(message)
        except Exception as error:
            # The template does not fit its arguments. The template comes from code, the arguments may be secret.
            template = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
            message = f"{template} [{type(error).__name__} while formatting]"
        # If an application fails to start, Starlette sends the traceback to the server as text, and uvicorn logs it.
        is_traceback = message.startswith(TRACEBACK)
        redacted = self._policy.redact_traceback if is_traceback else self._policy.redact_text
        return redacted(message, budget)

    def formatted(self, record: logging.LogRecord) -> str:
        """Return the formatted message, with named arguments redacted by their names."""
        arguments, template = record.args, record.msg
        if isinstance(template, BaseException):
            template = _without_data(template)
        if isinstance(arguments, Mapping) and "%(" in str(template):
            arguments = _NamedArguments(arguments, self._policy)  # type: ignore[assignment]
        elif isinstance(arguments, tuple) and any(isinstance(argument, BaseException) for argument in arguments):
            arguments = tuple(map(_without_data, arguments))
        if template is record.msg and arguments is record.args:
            return record.getMessage()
        return str(template) % arguments if arguments else str(template)

    def _add_fields(self, line: dict[str, Any], fields: Mapping[Any, object], budget: Budget | None) -> None:
        redacted = self._policy.redact_fields(dict(islice(fields.items(), _MAX_FIELDS)), _FIELDS_ROOM, budget)
        for name, value in redacted.items():
            # The application cannot overwrite the library's fields.
            line.setdefault(name, value)
        if len(fields) > _MAX_FIELDS:
            line["..."] = f"[cut:{len(fields) - _MAX_FIELDS} more]"


class _NamedArguments:
    """The arguments of `"%(password)s"`, each redacted by its name."""

    def __init__(self, arguments: Mapping[Any, object], policy: RedactionPolicy) -> None:
        self._arguments = arguments
        self._policy = policy

    def __getitem__(self, key: str) -> object:
        return self._policy.field(key, self._arguments[key])


def _without_data(argument: object) -> object:
    """Return an argument; if it is an exception whose text repeats data, its type with a marker."""
    marker = marker_for(argument) if isinstance(argument, BaseException) else None
    return argument if marker is None else f"{class_name(type(argument))}: {marker}"


def _unix_ns(created: object) -> int:
    """Return a LogRecord's time; the current time if `created` is not a valid time."""
    if isinstance(created, (int, float)) and 0 <= created < 1e11:  # nan compares false
        return int(created * 1e9)
    return time.time_ns()


def _written(name: object) -> str:
    """Return the name of a level or a logger as valid UTF-8, which JSON needs, without lone surrogates."""
    text = name if isinstance(name, str) else type(name).__name__
    return text[:_MAX_NAME] if text.isascii() else text[:_MAX_NAME].encode("utf-8", "replace").decode()


def _finished(line: dict[str, Any], recorded: bool, hidden: Iterable[str] = ()) -> bytes:
    """Return one line of JSON without control characters."""
    if "error" in line or "stack" in line or line["msg"].startswith(TRACEBACK):
        # Only tracebacks keep line ends. In any other text, a reader could take the next line for another record.
        in_lines: dict[str, Any] = {key: line[key] for key in ("msg", "error", "stack") if key in line}
        if not line["msg"].startswith(TRACEBACK):
            del in_lines["msg"]
        rest = {key: value for key, value in line.items() if key not in in_lines}
        data = _shown(rest, _SHORT, hidden)[:-1] + b"," + _shown(in_lines, _IN_LINES, hidden)[1:]
    else:
        data = _shown(line, _SHORT, hidden)
    return data[:-1] + _RECORDED if recorded else data


def _shown(fields: dict[str, Any], pictures: Mapping[bytes, bytes], hidden: Iterable[str]) -> bytes:
    """Return JSON with a visible character for each one that a terminal interprets or that misleads a reader."""
    data = orjson.dumps(fields)
    for text in hidden:
        # Ids have letters and digits only, which JSON does not escape.
        data = data.replace(text.encode(), _HIDDEN)
    if b"\\" in data:
        data = _pictured(data, pictures)
    # orjson does not escape DEL, the C1 controls and other characters of Unicode.
    return visible(data.decode()).encode() if b"\x7f" in data or not data.isascii() else data


def _pictured(data: bytes, pictures: Mapping[bytes, bytes]) -> bytes:
    """
    Return JSON with pictures in place of control characters.

    Unicode has a picture of each from U+2400 on: ESC becomes one visible sign. A text may consist of control characters
    only, so each kind is replaced in one call. Meanwhile a NUL, which JSON never contains, replaces escaped
    backslashes.
    """
    data = data.replace(rb"\\", b"\0")
    for escape, picture in pictures.items():
        data = data.replace(escape, picture)
    if b"\\u00" in data:
        for escape in set(_ESCAPES.findall(data)):
            data = data.replace(escape, b"\\u24" + escape[-2:])
    return data.replace(b"\0", rb"\\")


__all__ = [
    "ACCESS_LOGGER",
    "FIELDS_KEY",
    "HIDDEN_KEY",
    "STANDARD_ATTRIBUTES",
    "LineRequest",
    "Lines",
    "access_level",
    "timestamp",
]
