"""Exceptions of databases, whose text repeats the values that did not fit. Needs no tracing library."""

from __future__ import annotations

import re

MARKER = "[redacted:database]"

# Their messages quote parameters, rows and whole statements: 'Key (email)=(ada@example.org) already exists.'
_DRIVERS = frozenset(
    [
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
    ]
)
_FRAME = re.compile(r"[\s|]*File \"[^\"\n]*\", line [0-9]+, in \S+\Z")


def of_a_database(kind: str) -> bool:
    """Tell by an exception's full name (`asyncpg.exceptions.DataError`) whether its text may repeat what is stored."""
    return any(kind.startswith(f"{driver}.") for driver in _DRIVERS)


def caused_by_a_database(error: BaseException) -> bool:
    """Tell whether `error`, or any exception that its traceback shows, is a database's."""
    seen: set[int] = set()
    chain: list[BaseException | None] = [error]
    while chain:
        link = chain.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        if any(of_a_database(f"{kind.__module__}.{kind.__qualname__}") for kind in type(link).__mro__):
            return True
        chain += [link.__cause__, link.__context__]
        if isinstance(link, BaseExceptionGroup):
            chain += link.exceptions
    return False


def frames_only(stacktrace: str) -> str:
    """Return the places of a traceback, without its messages and lines of code."""
    return "\n".join(line for line in stacktrace.split("\n") if _FRAME.match(line))


__all__ = ["MARKER", "caused_by_a_database", "frames_only", "of_a_database"]
