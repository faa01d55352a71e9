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

# What a pool says when it has no connection left or is closed, and a server when it accepts no more connections: words
# of the library, numbers, and the name of a pool or a host.
_POOL_TEXT = re.compile(
    r"(?:"
    # SQLAlchemy.
    r"QueuePool limit of size [0-9]+ overflow -?[0-9]+ reached, connection timed out, timeout [0-9.]+"
    # redis-py; asyncpg; psycopg2, oracledb, mysql.connector.
    r"|Too many connections|No connection available\.|pool is clos(?:ed|ing)|connection pool exhausted"
    r"|DPY-4005: timed out waiting for the connection pool to return a connection"
    r"|Failed getting connection; pool exhausted"
    # psycopg_pool.
    r"|couldn't get a connection after [0-9.]+ sec|pool initialization incomplete after [0-9.]+ sec"
    r"|the pool '[\w.-]{1,64}' (?:has already [0-9]+ requests waiting|is already closed|is not open yet)"
    # PostgreSQL, with what psycopg writes before it.
    r"|(?:connection failed: )?"
    r"(?:connection to server at \"[\w./:-]{1,255}\"(?: \([0-9a-f.:]{1,45}\))?, port [0-9]{1,5} failed: )?"
    r"(?:FATAL: {1,2})?(?:sorry, too many clients already"
    r"|remaining connection slots are reserved for (?:roles with the SUPERUSER attribute"
    r"|roles with privileges of the \"pg_use_reserved_connections\" role|non-replication superuser connections))"
    # Redis; MySQL.
    r"|max number of clients reached|\(1040, ['\"]Too many connections['\"]\))"
    # SQLAlchemy appends its page about the error.
    r"(?:\s\(Background on this error at: https://sqlalche\.me/e/[0-9]{1,4}/[0-9a-z]{1,8}\))?\s*"
)
# SQLAlchemy writes the class of the driver's exception before its text, and asyncpg's twice.
_WRAPPED = re.compile(r"\([\w.]{1,100}\) (?:<class '[\w.]{1,100}'>: )?")
# The end of an exception's text in a traceback.
_END = re.compile(r"\n[ |]*\n|\n[ |]*\+-|\Z")

# The text around a value in messages of SQLAlchemy, PostgreSQL and MySQL. Each alternative has an end, at the latest
# the end of the line or of the text, so that none is tried repeatedly.
_VALUES = re.compile(
    rb"\[parameters: (?P<parameters>.*?)(?=\](?:\n|\\+n)\(Background on |\]?\n|\]?\Z)"
    rb"|[Kk]ey \([^)\n]{0,256}\)=\((?P<key>.*?)"
    rb"(?=\) (?:already exists|is not present|is still|conflicts with)|\)\.(?:\n|\\+n|\Z)|\Z)"
    rb"|Failing row contains \((?P<row>.*?)(?=\)\.(?:\n|\\+n|\Z)|\Z)"
    rb"|invalid input (?:syntax|value) for [^:\n]{1,64}: \\*\"(?P<input>.*?)(?=(?<!\\)\\{0,15}+\"(?:\n|\\+n|\Z)|\Z)"
    rb"|Duplicate entry '(?P<entry>.*?)(?=' for key|\n|\Z)"
    # PostgreSQL's log_statement; Entity Framework; MyBatis; Hibernate; Spring's JdbcTemplate.
    rb"|[Pp]arameters: (?P<bound>\$1 = [^\n]*)"
    # SQLAlchemy's echo; TypeORM; Django.
    rb"|\[(?:generated in [\d.]{1,16}s|cached since [\d.]{1,16}s ago|raw sql|no key [\d.]{1,16}s)\] "
    rb"[(\[{](?P<echo>[^\n)\]}][^\n]*?)(?=[)\]}]?(?:\n|\Z))"
    rb"|-- (?:parameters|PARAMETERS): \[(?P<typed>[^\n]*?)(?=\]?(?:\n|\Z))"
    rb"|; args=[(\[](?P<args>[^\n]*?)(?=[)\]](?:; alias=|\n|\Z)|\n|\Z)"
    rb"|\[Parameters=\[(?P<commanded>[^\n]*?)(?=\], CommandType=|\n|\Z)"
    rb"|==> Parameters: (?P<mapped>[^\n]+)"
    rb"|binding parameter [\[(]\d{1,5}(?:\]|:\w{1,32}\))(?: as \[\w{1,32}\])? (?:-|<-) "
    rb"\[(?P<bind>[^\n]*?)(?=\]?(?:\n|\Z))"
    rb"|parameter value \[(?P<set>[^\n]*?)(?=\](?:, |\n|\Z)|\n|\Z)",
    re.DOTALL,
)
VALUES_SIGN = (
    r"\[parameters: |[Kk]ey \(|Failing row contains \(|invalid input |Duplicate entry '"
    r"|[Pp]arameters: \$|\[Parameters=\["
    r"|\[(?:generated in|cached since|raw sql|no key)|-- (?i:parameters): |; args=[(\[]"
    r"|==> Parameters: |binding parameter [\[(]|parameter value \["
)
_REDACTED = re.compile(rb"\[redacted:[a-z0-9_ -]{1,64}\]?")


def is_database_error(kind: str) -> bool:
    """Return whether an exception of this name (`asyncpg.exceptions.DataError`) may repeat stored data in its text."""
    return _DRIVER_NAME.match(kind) is not None


def is_pool_text(text: str) -> bool:
    """Return whether the text of an exception only says that a pool or a server has no connection to give."""
    wrapped = _WRAPPED.match(text)
    return _POOL_TEXT.fullmatch(text, wrapped.end() if wrapped else 0) is not None


def names_a_database(stacktrace: str) -> bool:
    """Return whether a traceback names such an exception, other than one of an exhausted pool."""
    for match in _NAMED.finditer(stacktrace):
        end = _END.search(stacktrace, match.end())
        if end is None or not is_pool_text(stacktrace[match.end() : end.start()].strip()):
            return True
    return False


def find_values(view: View) -> Iterable[Found]:
    """Return the values in messages of databases whose format is known."""
    for match in _VALUES.finditer(view.raw):
        if not view.takes():
            yield match.start(), len(view.raw), UNREAD
            return
        group = match.lastgroup
        if group is not None and match[group] and not _REDACTED.fullmatch(match[group]):
            yield match.start(group), match.end(group), _NAME


__all__ = ["MARKER", "VALUES_SIGN", "find_values", "is_database_error", "is_pool_text", "names_a_database"]
