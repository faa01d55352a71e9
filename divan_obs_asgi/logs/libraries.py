"""
Reduces lines of database, HTTP and WebSocket libraries to parts without data, at any level.

Such libraries log what passes through them: statements with their parameters, URLs, headers, frames, bodies.
`LIBRARIES` names a reducer for each logger. A line that its reducer does not know becomes the library's own words: the
format string without its arguments, or a marker if the text was formatted before the log call.
"""

from __future__ import annotations

import ast
import functools
import logging
import os
import re
import sys
from collections.abc import Callable, Mapping
from http.client import responses
from types import FrameType
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from divan_obs_asgi.redaction.sql import without_literals
from divan_obs_asgi.redaction.text import marker

# Returns the text of the line, or None for a line that is written like the application's.
Reducer: TypeAlias = Callable[[logging.LogRecord], str | None]

UNKNOWN = marker("library")
# Frames between the pipeline and the log call, including those of logging and of wrappers in the library.
_MAX_FRAMES = 24
_LONGEST_READ = 16_384


# The library's own words.


def words(record: logging.LogRecord) -> str:
    """Return the format string of a log call, without arguments; a marker if it is not a constant of the source."""
    message = record.msg
    if type(message) is str and is_in_source(message):
        # uvicorn and others begin a line with an address.
        return message.removeprefix("%s - ").removeprefix("%s").strip()
    return UNKNOWN


def is_in_source(text: str) -> bool:
    """
    Return whether `text` is a constant of a function on the stack, so it cannot contain data.

    logging passes the object on unchanged. A text that was formatted (an f-string, `+`, `%`) is another object.
    """
    frame: FrameType | None = sys._getframe(1)
    for _ in range(_MAX_FRAMES):
        if frame is None:
            return False
        if any(constant is text for constant in frame.f_code.co_consts):
            return True
        frame = frame.f_back
    return False


def _arguments(record: logging.LogRecord) -> tuple[Any, ...]:
    return record.args if isinstance(record.args, tuple) else ()


# Databases.

_STATEMENT = re.compile(
    r"\s*(?:/\*.*?\*/\s*)?(?:SELECT|INSERT|UPDATE|DELETE|WITH|MERGE|REPLACE|CREATE|ALTER|DROP|TRUNCATE|BEGIN|COMMIT"
    r"|ROLLBACK|SAVEPOINT|RELEASE|START|SET|SHOW|PRAGMA|EXPLAIN|ANALYZE|VACUUM|CALL|COPY|LOCK|LISTEN|NOTIFY|VALUES)\b",
    re.IGNORECASE | re.DOTALL,
)
# The position of the statement among the arguments. Any other argument may be a value that begins like a statement.
_STATEMENT_AT: Mapping[object, int] = {
    "Query: %s Args: %s": 0,  # databases
    "executing %s": 0,  # aiosqlite
    "operation %s completed": 0,
    "(%.3f) %s; args=%s; alias=%s": 1,  # django.db.backends
    "%s: %s": 0,  # tortoise
}
# SQLAlchemy shortens a long statement like this. The text after it may begin within a literal.
_LEFT_OUT = re.compile(r"\.\.\. \(\d+ characters truncated\)")
# MySQL and SQLite may read "text" as a value. It is a name only next to a dot or after one of these words.
_DOUBLE_QUOTED = re.compile(
    r"(?P<name>(?<=\.)\"\w{1,63}\"|\"\w{1,63}\"(?=\.)|\b(?:from|into|update|join|table) \"\w{1,63}\")"
    r"|\"[^\"]*(?:\"|\Z)",
    re.IGNORECASE,
)


def statement(record: logging.LogRecord) -> str:
    """Return the statement without literals and without parameters."""
    if (found := next(filter(None, map(_statement_in, _candidates(record))), None)) is not None:
        return found
    return words(record)


def _candidates(record: logging.LogRecord) -> tuple[object, ...]:
    arguments = _arguments(record)
    if isinstance(record.msg, tuple):  # peewee: (statement, parameters)
        return record.msg[:1]
    if not arguments:
        return (record.msg,)
    position = _STATEMENT_AT.get(record.msg)
    return arguments[position : position + 1] if position is not None else ()


def _statement_in(value: object) -> str | None:
    if isinstance(value, functools.partial):  # aiosqlite: a call for its thread
        called = getattr(value.func, "__name__", "")
        return f"{called} {_statement_in(value.args[0]) or '' if value.args else ''}".strip()
    if not isinstance(value, str) or not _STATEMENT.match(value):
        return None
    text = value
    if left_out := _LEFT_OUT.search(text):
        text = text[: left_out.start()]
    if "\\" in text:
        # Whether a backslash escapes a quote depends on the database, so everything from the first quote on is removed.
        text = re.split("['\"$\\\\]", text, maxsplit=1)[0] + "?"
    return _DOUBLE_QUOTED.sub(lambda match: match["name"] or "?", without_literals(text))


# HTTP clients.


def httpx(record: logging.LogRecord) -> str:
    """Return method, host and status of 'HTTP Request: %s %s "%s %d %s"'."""
    arguments = _arguments(record)
    if record.msg == 'HTTP Request: %s %s "%s %d %s"' and len(arguments) == 5:
        method, url, _, status, _ = arguments
        return f"HTTP Request: {_method(method)} {_host(str(url))} {int(status)}"
    return words(record)


def urllib3(record: logging.LogRecord) -> str:
    """Return method, host, status and size of '%s://%s:%s "%s %s %s" %s %s'."""
    arguments = _arguments(record)
    if record.msg == '%s://%s:%s "%s %s %s" %s %s' and len(arguments) == 8:
        scheme, host, port, method, _, _, status, size = arguments
        return (
            f"HTTP request: {_method(method)} {_host(f'{scheme}://{host}:{port}')} {int(status)} {_size(size)}".rstrip()
        )
    return words(record)


_EVENT = re.compile(r"(?P<event>[a-z_]{1,64}\.(?:started|complete|failed))(?: (?P<what>return_value|exception)=)?")
_EXCEPTION = re.compile(r"[A-Za-z_]\w{0,63}(?=\()")
_HEADER = re.compile(rb"[A-Za-z0-9-]{1,64}")


def httpcore(record: logging.LogRecord) -> str:
    """Return the event of "receive_response_headers.complete return_value=(...)", the status and the header names."""
    message = record.msg
    match = _EVENT.match(message) if isinstance(message, str) else None
    if match is None:
        return words(record)
    rest = message[match.end() :]
    if match["what"] == "exception":
        kind = _EXCEPTION.match(rest)
        return f"{match['event']} {kind[0]}" if kind else match["event"]
    if match["what"] == "return_value":
        return " ".join([match["event"], *_status_and_headers(rest)])
    return match["event"]


def _status_and_headers(text: str) -> list[str]:
    if len(text) > _LONGEST_READ:
        return []
    try:
        # (b'HTTP/1.1', 200, b'OK', [(b'content-type', b'text/html'), ...]); for HTTP/2 (200, [...]).
        parts = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return []
    shown: list[str] = []
    for part in parts if isinstance(parts, tuple) else ():
        if type(part) is int:
            shown.append(str(part))
        elif isinstance(part, list):
            names = [pair[0] for pair in part if isinstance(pair, tuple) and len(pair) == 2]
            shown += [name.decode() for name in names if isinstance(name, bytes) and _HEADER.fullmatch(name)]
    return shown


def _method(value: object) -> str:
    return value if isinstance(value, str) and re.fullmatch("[A-Z]{1,16}", value) else "?"


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname or '?'}{port}"
    except ValueError:
        return "?"


def _size(value: object) -> str:
    return str(value) if isinstance(value, int) or (isinstance(value, str) and value.isdecimal()) else ""


# WebSocket libraries.


def frames(record: logging.LogRecord) -> str:
    """Return kinds and sizes of frames, names of headers, and states, from lines of websockets."""
    arguments = _arguments(record)
    if record.msg in ("< %s", "> %s") and len(arguments) == 1:
        opcode, data = getattr(arguments[0], "opcode", None), getattr(arguments[0], "data", None)
        size = f" {len(data)} bytes" if isinstance(data, (bytes, bytearray, memoryview)) else ""
        return f"{record.msg[0]} {getattr(opcode, 'name', 'frame')}{size}"
    if record.msg in ("< %s: %s", "> %s: %s") and len(arguments) == 2:
        name = str(arguments[0])
        return f"{record.msg[0]} {name if _HEADER.fullmatch(name.encode()) else 'header'}"
    if arguments and type(arguments[0]) is int:
        # A status with its reason phrase, or a size.
        return words(record).replace("%d %s", str(arguments[0])).replace("%d", str(arguments[0]))
    return words(record)


# Servers.

_HANDSHAKE = '%s - "WebSocket %s" '
# Lines of uvicorn about itself, not about a client.
_ABOUT_THE_SERVER = ("Uvicorn running on ", "Error loading ", "Loading environment ")


def is_handshake(record: logging.LogRecord) -> bool:
    """Return whether this is uvicorn's line about a WebSocket handshake, which has address, path and query."""
    return isinstance(record.msg, str) and record.msg.startswith(_HANDSHAKE)


def uvicorn(record: logging.LogRecord) -> str | None:
    """
    Return the result of a handshake, and reduced lines of the WebSocket library, which uses this logger too.

    Other lines of uvicorn, including the application's exceptions, and lines of the application stay unchanged.
    """
    if is_handshake(record):
        verdict = record.msg[len(_HANDSHAKE) :]
        arguments = _arguments(record)
        if verdict == "%d":
            verdict = str(int(arguments[-1])) if arguments else "?"
        return f"WebSocket {verdict.strip('[]')}"
    if is_file_of(record.pathname, "websockets", "wsproto", "h11", "h2", "httptools", "zttp"):
        return frames(record)
    if not is_file_of(record.pathname, "uvicorn"):
        return None
    arguments = _arguments(record)
    if all(type(argument) is int for argument in arguments) or str(record.msg).startswith(_ABOUT_THE_SERVER):
        return None
    return words(record)


def is_file_of(file: str, *packages: str) -> bool:
    """Return whether a file belongs to one of these packages, if they are loaded."""
    for package in packages:
        for folder in getattr(sys.modules.get(package), "__path__", ()):
            if file.startswith(os.path.join(folder, "")):
                return True
    return False


# Frameworks.

_FRAMEWORKS = "channels", "django", "falcon", "fastapi", "flask", "litestar", "quart", "starlette"
# Flask and Quart format such a text, under the logger of the application.
_ABOUT_A_CONNECTION = re.compile(r"Exception on (?:request [A-Z]{1,16}|websocket)(?= )")

# Falcon's line about an HTTPError that a WebSocket raised.
_FALCON_CLOSES = "[FALCON] HTTPError %s raised while handling WebSocket"


def reduced_framework_line(record: logging.LogRecord) -> str | None:
    """
    Return a framework's line about a connection without its arguments, which name the path; None for all other lines.

    The file of the log call decides: Flask and Quart use the application's logger.
    """
    if not _is_framework_file(record.pathname):
        return None
    if type(record.msg) is str and (match := _ABOUT_A_CONNECTION.match(record.msg)):
        return match[0]
    status = getattr(record, "status_code", None)
    if record.name.startswith("django.") and type(status) is int:
        # Reason and path are arguments. A line about a wrong CSRF token also has the client's input.
        return f"{status} {responses.get(status, '')}".rstrip()
    return words(record)


def is_failure_of_connection(record: logging.LogRecord) -> bool:
    """Return whether a framework logs why the current request or WebSocket fails, before it answers by itself."""
    if record.levelno < logging.ERROR or not _is_framework_file(record.pathname):
        return False
    if record.exc_info:
        # "Exception" comes from a background task of Quart, which may have the context of a request.
        return record.msg != "Exception"
    if record.name == "django.request":
        # A view or a handler of the application returned this status.
        status = getattr(record, "status_code", None)
        return type(status) is int and status >= 500
    return isinstance(record.msg, str) and record.msg.startswith(_FALCON_CLOSES)


@functools.lru_cache(maxsize=4096)
def _is_framework_file(file: str) -> bool:
    # The result can be cached: code that logs is loaded, and its file does not move to another package.
    return is_file_of(file, *_FRAMEWORKS)


def access(record: logging.LogRecord) -> str:
    """Return method and status of a server's own access line."""
    arguments: Any = record.args
    if isinstance(arguments, Mapping):  # gunicorn, hypercorn: atoms of the Apache format; granian: names
        method, status = arguments.get("m", arguments.get("method")), arguments.get("s", arguments.get("status"))
    elif isinstance(arguments, tuple) and len(arguments) == 5:  # uvicorn: '%s - "%s %s HTTP/%s" %d'
        method, status = arguments[1], arguments[4]
    else:
        return words(record)
    return f"{_method(method)} {_size(status)}".rstrip()


def _all(reducer: Reducer, names: str) -> dict[str, Reducer]:
    return dict.fromkeys(names.split(), reducer)


#: Loggers of libraries, each with the loggers below it. To add a library, add a line.
LIBRARIES: Mapping[str, Reducer] = {
    # Databases.
    **_all(
        statement,
        """
        aiomysql aioodbc aiopg aiosqlite asyncmy asyncpg clickhouse_connect clickhouse_driver databases
        django.db duckdb gino mysql oracledb peewee piccolo pony psycopg psycopg2 psycopg_pool pymysql pyodbc
        snowflake sqlalchemy sqlmodel tortoise trino
        """,
    ),
    # Notices of a database server, which may quote the statement.
    "sqlalchemy.dialects": words,
    **_all(
        words,
        """
        aiocache aiomcache aioredis beanie cassandra coredis elastic_transport elasticsearch fakeredis glide
        influxdb_client motor neo4j opensearch opensearchpy pymemcache pymongo redis rediscluster valkey
        """,
    ),
    # HTTP clients and libraries that use HTTP.
    "httpcore": httpcore,
    "httpx": httpx,
    "urllib3": urllib3,
    **_all(
        words,
        """
        aiobotocore aiohttp aioquic anthropic authlib azure boto boto3 botocore curl_cffi
        geventhttpclient gql google.api_core google.auth google.cloud googleapiclient grpc h2 h11 hpack httpcore2
        httplib2 httptools hubspot hvac hyperframe msal niquests oauthlib openai pycurl requests requests_oauthlib
        s3transfer sendgrid slack_sdk stripe suds tornado treq twilio urllib3_future werkzeug wreq zeep
        """,
    ),
    # WebSockets and brokers.
    "websockets": frames,
    **_all(
        words,
        """
        aio_pika aiokafka aiormq amqp autobahn confluent_kafka engineio.client kafka kombu nats paho picows
        pika pusher simple_websocket socketio.client websocket wsproto
        """,
    ),
    # Servers.
    "uvicorn.error": uvicorn,
    "uvicorn.asgi": words,
    **_all(
        access,
        "daphne django.channels.server granian.access gunicorn.access hypercorn.access sanic.access uvicorn.access",
    ),
}
# Common words, which an application may use for its own logger. They mean the library only if it is loaded.
_PLAIN_WORDS = frozenset(
    """
    amqp azure beanie cassandra elasticsearch glide kafka motor mysql nats opensearch piccolo pony pusher redis requests
    stripe tornado twilio websocket
    """.split()  # noqa: SIM905
)
_VENDORED = re.compile(r"\.(?:_?vendor(?:ed)?|third_party)\.")


def reducer_of(name: object) -> Reducer | None:
    """Return the reducer for the lines of a logger; None if the logger does not belong to a listed library."""
    if not isinstance(name, str):
        return None
    reducer = _listed(name)
    if reducer is not None and (top := name.partition(".")[0]) in _PLAIN_WORDS and top not in sys.modules:
        return None
    return reducer


@functools.lru_cache(maxsize=4096)
def _listed(name: str) -> Reducer | None:
    # A vendored copy in another package: pip._vendor.urllib3, shop.vendor.databases.
    name = _VENDORED.split(name)[-1]
    while name:
        if name in LIBRARIES:
            return LIBRARIES[name]
        name = name.rpartition(".")[0]
    return None


def names_a_library(name: str) -> bool:
    """Return whether a logger has the name of a listed library."""
    return reducer_of(name) is not None


__all__ = [
    "LIBRARIES",
    "UNKNOWN",
    "is_failure_of_connection",
    "is_file_of",
    "is_handshake",
    "is_in_source",
    "names_a_library",
    "reduced_framework_line",
    "reducer_of",
]
