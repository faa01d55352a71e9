"""
Reduces lines of python-socketio and Engine.IO: no payload, no room and no session id is written, at any level.

The file of the log call identifies their lines, because a server accepts any logger (`logger=`, `engineio_logger=`).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from types import TracebackType
from typing import Any, TypeAlias

from divan_obs_asgi.logs.libraries import UNKNOWN, is_file_of, is_in_source
from divan_obs_asgi.redaction.text import HIDDEN, marker

# The attribute of a LogRecord whose text was already reduced, by code that knows the server and its names.
REDUCED_KEY = "divan_obs_reduced"

_ROOM, _PAYLOAD, _EVENT, _NAMESPACE = marker("room"), marker("payload"), marker("event"), marker("namespace")
_ORIGIN = marker("origin")
# Frames of a traceback that are searched for sessions.
_MAX_STEPS = 200


# Reducers of one argument.

Shown: TypeAlias = Callable[[object], object]
# The reducer of an event's name; gets its namespace and the name.
ShownEvent: TypeAlias = Callable[[Any, Any], object]


def _own(value: object) -> object:
    """Return a word of the library or of the application unchanged."""
    return value


def _session(value: object) -> object:
    return HIDDEN if value is not None else None


def _room(value: object) -> object:
    # A session that is already hidden, and "to all".
    return value if value in (HIDDEN, "all") else _ROOM


def _payload(value: object) -> object:
    """Return the kind and the length: `string:120`. Engine.IO itself hides binary data."""
    if value == "<binary>":
        return "binary"
    for kind, name in ((str, "string"), (dict, "object"), (list, "array")):
        if isinstance(value, kind):
            return f"{name}:{len(value)}"
    return _PAYLOAD


def _hidden(value: object) -> object:
    return "[redacted]"


def _namespace(value: object) -> object:
    return value if value == "/" else _NAMESPACE


def _event(value: object) -> object:
    return _EVENT


#: The format string of each line with arguments, and the reducers of these arguments in order.
LINES: Mapping[str, tuple[Shown, ...]] = {
    # socketio.AsyncServer, socketio.Server
    'emitting event "%s" to %s [%s]': (_own, _room, _namespace),
    "%s is entering room %s [%s]": (_session, _room, _namespace),
    "%s is leaving room %s [%s]": (_session, _room, _namespace),
    "room %s is closing [%s]": (_room, _namespace),
    "Disconnecting %s [%s]": (_session, _namespace),
    'received event "%s" from %s [%s]': (_event, _session, _namespace),
    "received ack from %s [%s]": (_session, _namespace),
    "%s is not connected to namespace %s": (_session, _namespace),
    # socketio.AsyncClient, socketio.Client
    'Emitting event "%s" [%s]': (_own, _namespace),
    'Received event "%s" [%s]': (_event, _namespace),
    "Received ack [%s]": (_namespace,),
    # engineio.AsyncServer, engineio.Server
    "Server initialized for %s.": (_own,),
    "Cannot send to sid %s": (_session,),
    "Method %s not supported": (_hidden,),
    "%s: Received packet %s data %s": (_session, _own, _payload),
    "%s: Sending packet %s data %s": (_session, _own, _payload),
    "%s: Received request to upgrade to %s": (_session, _own),
    "%s: Upgrade to websocket successful": (_session,),
    "%s: Client is gone, closing socket": (_session,),
    "%s: Failed websocket upgrade, no PING packet": (_session,),
    "%s: Failed websocket upgrade, expected UPGRADE packet, received %s instead.": (_session, _payload),
    '%s: Unexpected error "%s", closing connection': (_session, _hidden),
    # engineio.AsyncClient, engineio.Client
    "Received packet %s data %s": (_own, _payload),
    "Sending packet %s data %s": (_own, _payload),
    "Server sent %s packet data %s, aborting": (_own, _payload),
    "Unexpected status code %s in server response, aborting": (_own,),
    "Received unexpected packet of type %s": (_own,),
}
_AT_EVENT = ('received event "%s" from %s [%s]', 'Received event "%s" [%s]')

_FURTHER = " (further occurrences of this error will be logged with level INFO)"
# Texts that are formatted before the log call, and the reduced text.
_FORMATTED_TEXTS = (
    (
        re.compile(r"(Invalid session|(?:Invalid transport|Unexpected HTTP request) for session) (.*)", re.S),
        rf"\1 {HIDDEN}",
    ),
    (re.compile(r"(Socket for session) .*( is not connected)", re.S), rf"\1 {HIDDEN}\2"),
    (re.compile(r"'Session is (\w+)' .*", re.S), rf"Session is \1: {HIDDEN}"),
    (re.compile(r".* is not an accepted origin\.", re.S), f"{_ORIGIN} is not an accepted origin."),
    (re.compile(r"((?:connect|message|disconnect) (?:async )?handler error)"), r"\1"),
    (re.compile(r"(Attempting \w+ (?:connection|upgrade)|Sending polling GET request) to .*", re.S), r"\1"),
    (re.compile(r"((?:Polling|WebSocket) connection accepted) with .*", re.S), r"\1"),
    (re.compile(r"Connection to namespace .* was rejected", re.S), "Connection to a namespace was rejected"),
    (re.compile(r"Namespace .* is connected", re.S), "A namespace is connected"),
    (re.compile(r"(Connection failed, new attempt in [\d.]{1,20} seconds)"), r"\1"),
    (re.compile(r"(pubsub message: \w{1,30})"), r"\1"),
    (re.compile(r"(\w{1,30} backend initialized\.)"), r"\1"),
    (re.compile(r"(Cannot receive from \w{1,30}\.\.\. retrying in \d{1,9} secs)"), r"\1"),
    (
        re.compile(
            r"(Invalid transport|Invalid JSONP index number|Invalid websocket upgrade"
            r"|The client is using an unsupported version of the Socket\.IO or Engine\.IO protocols"
            r"|The WebSocket transport is not available, you must install a WebSocket server that is compatible with"
            r" your async mode to enable it\. See the documentation for details\.)"
        ),
        r"\1",
    ),
)


def reduced(record: logging.LogRecord, event: ShownEvent | None = None, namespace: Shown = _namespace) -> str | None:
    """
    Return the text of a line of python-socketio or Engine.IO without data; None for any other line.

    Args:
        event: the reducer for the name of a received event; default is a marker.
        namespace: the reducer for the name of a namespace.
    """
    if not isinstance(record.pathname, str) or not is_of_library(record.pathname):
        return None
    done = getattr(record, REDUCED_KEY, None)
    if isinstance(done, str):
        return done
    message, arguments = record.msg, record.args
    if not isinstance(message, str):
        return UNKNOWN
    if not arguments:
        return _without_data(message)
    shown = LINES.get(message)
    if shown is None or not isinstance(arguments, tuple) or len(arguments) != len(shown):
        return _without_data(message)
    values = [
        namespace(value) if show is _namespace else show(value) for show, value in zip(shown, arguments, strict=True)
    ]
    if event is not None and message in _AT_EVENT:
        values[0] = event(arguments[-1], arguments[0])
    return message % tuple(values)


def _without_data(message: str) -> str:
    if is_in_source(message):
        return message
    text, end = (message[: -len(_FURTHER)], _FURTHER) if message.endswith(_FURTHER) else (message, "")
    for shape, left in _FORMATTED_TEXTS:
        if found := shape.fullmatch(text):
            return found.expand(left) + end
    return UNKNOWN


@lru_cache(maxsize=512)
def is_of_library(path: str) -> bool:
    """Return whether a file belongs to python-socketio or Engine.IO."""
    return is_file_of(path, "engineio", "socketio")


# Sessions in tracebacks.

_ID = re.compile(r"[\w-]{8,128}", re.ASCII)
# Variables of python-socketio and Engine.IO that hold the id of a session; `args` are the arguments of a handler.
_VARIABLES = ("sid", "eio_sid", "args")


def sessions_in(step: TracebackType | None) -> tuple[str, ...]:
    """Return the ids of the sessions that python-socketio and Engine.IO handle in the frames of a traceback."""
    found: dict[str, None] = {}
    for _ in range(_MAX_STEPS):
        if step is None:
            break
        if is_of_library(step.tb_frame.f_code.co_filename):
            found.update(dict.fromkeys(_sessions_of(step.tb_frame.f_locals)))
        step = step.tb_next
    return tuple(found)


def _sessions_of(variables: Mapping[str, object]) -> Iterator[str]:
    values = [variables.get(name) for name in _VARIABLES]
    values.append(vars(variables["self"]).get("sid") if hasattr(variables.get("self"), "__dict__") else None)
    for value in values:
        first = value[0] if isinstance(value, (tuple, list)) and value else value
        if isinstance(first, str) and _ID.fullmatch(first):
            yield first


__all__ = ["LINES", "REDUCED_KEY", "is_of_library", "reduced", "sessions_in"]
