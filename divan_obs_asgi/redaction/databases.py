"""Exceptions of databases, whose text repeats stored or rejected values."""

from __future__ import annotations

import re
from collections.abc import Iterable

from divan_obs_asgi.redaction.text import marker
from divan_obs_asgi.redaction.view import UNREAD, Found, View

_NAME = "database"
MARKER = marker(_NAME)

# Their messages quote parameters, rows and whole statements: 'Key (email)=(ada@example.org) already exists.'
_DRIVERS = (
    "aiomysql",
    "aiosqlite",
    "asyncpg",
    "databases",
    "django.db",
    "motor",
    "MySQLdb",
    "mysql",
    "oracledb",
    "psycopg",
    "psycopg2",
    "pymongo",
    "pymysql",
    "pyodbc",
    "redis",
    "sqlalchemy",
    "sqlite3",
)
_DRIVER_NAME = re.compile(rf"(?:{'|'.join(map(re.escape, _DRIVERS))})\.")
# The name of an exception in a traceback: at the start of a line, in a group after a bar for each level.
_NAMED = re.compile(rf"^[ |+-]*{_DRIVER_NAME.pattern}[\w.]+(?::|$)", re.MULTILINE)

# The text around a value in messages of SQLAlchemy, PostgreSQL and MySQL. Each alternative has an end, at the latest
# the end of the line or of the text, so that none is tried repeatedly.
_VALUES = re.compile(
    rb"\[parameters: (?P<parameters>.*?)(?=\](?:\n|\\+n)\(Background on |\]?\n|\]?\Z)"
    rb"|[Kk]ey \([^)\n]{0,256}\)=\((?P<key>.*?)"
    rb"(?=\) (?:already exists|is not present|is still|conflicts with)|\)\.(?:\n|\\+n|\Z)|\Z)"
    rb"|Failing row contains \((?P<row>.*?)(?=\)\.(?:\n|\\+n|\Z)|\Z)"
    rb"|invalid input (?:syntax|value) for [^:\n]{1,64}: \\*\"(?P<input>.*?)(?=(?<!\\)\\{0,15}+\"(?:\n|\\+n|\Z)|\Z)"
    rb"|Duplicate entry '(?P<entry>.*?)(?=' for key|\n|\Z)",
    re.DOTALL,
)
VALUES_SIGN = r"\[parameters: |[Kk]ey \(|Failing row contains \(|invalid input |Duplicate entry '"
_REDACTED = re.compile(rb"\[redacted:[a-z0-9_ -]{1,64}\]?")


def is_database_error(kind: str) -> bool:
    """Return whether an exception of this name (`asyncpg.exceptions.DataError`) may repeat stored data in its text."""
    return _DRIVER_NAME.match(kind) is not None


def names_a_database(stacktrace: str) -> bool:
    """Return whether a traceback names such an exception."""
    return _NAMED.search(stacktrace) is not None


def find_values(view: View) -> Iterable[Found]:
    """Return the values in messages of databases whose format is known."""
    for match in _VALUES.finditer(view.raw):
        if not view.takes():
            yield match.start(), len(view.raw), UNREAD
            return
        group = match.lastgroup
        if group is not None and match[group] and not _REDACTED.fullmatch(match[group]):
            yield match.start(group), match.end(group), _NAME


__all__ = ["MARKER", "VALUES_SIGN", "find_values", "is_database_error", "names_a_database"]
