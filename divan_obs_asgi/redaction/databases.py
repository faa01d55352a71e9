"""Exceptions of databases, whose text repeats the values that did not fit."""

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
_OF_A_DRIVER = re.compile(rf"(?:{'|'.join(map(re.escape, _DRIVERS))})\.")
# Where a traceback names an exception: at the start of a line, in a group behind a bar for each level.
_NAMED = re.compile(rf"^[ |+-]*{_OF_A_DRIVER.pattern}[\w.]+(?::|$)", re.MULTILINE)

# What SQLAlchemy, PostgreSQL and MySQL write around a value. Each alternative ends somewhere, at the end of the line or
# of the text where nothing closes the value, so that none is tried again and again.
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


def of_a_database(kind: str) -> bool:
    """Tell by an exception's full name (`asyncpg.exceptions.DataError`) whether its text may repeat what is stored."""
    return _OF_A_DRIVER.match(kind) is not None


def names_a_database(stacktrace: str) -> bool:
    """Tell whether a traceback names such an exception."""
    return _NAMED.search(stacktrace) is not None


def find_values(view: View) -> Iterable[Found]:
    """Return the values that a database's message repeats, where it is known how it does that."""
    for match in _VALUES.finditer(view.raw):
        if not view.takes():
            yield match.start(), len(view.raw), UNREAD
            return
        group = match.lastgroup
        if group is not None and match[group] and not _REDACTED.fullmatch(match[group]):
            yield match.start(group), match.end(group), _NAME


__all__ = ["MARKER", "VALUES_SIGN", "find_values", "names_a_database", "of_a_database"]
