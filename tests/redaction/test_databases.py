"""Exceptions of databases, whose text repeats what is stored."""

from __future__ import annotations

import sqlite3
import traceback
from time import process_time

import pytest

from divan_obs_asgi import RedactionPolicy
from divan_obs_asgi.logs.errors import describe_error
from divan_obs_asgi.redaction.databases import MARKER, is_database_error
from divan_obs_asgi.redaction.errors import frames_only, marker_for, marker_for_text

POLICY = RedactionPolicy()
STORED = "meet me at the harbour"


def refused_row() -> Exception:
    """Return what SQLite raises for a row that is there already, as a library of today quotes it."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE notes (text TEXT UNIQUE)")
    connection.execute("INSERT INTO notes VALUES (?)", (STORED,))
    try:
        connection.execute(f"INSERT INTO notes VALUES ('{STORED}')")
    except sqlite3.IntegrityError as error:
        error.args = (f"Key (text)=({STORED}) already exists.",)
        return error
    finally:
        connection.close()
    raise AssertionError("There was room for the row.")


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def from_a_database() -> BaseException:
    try:
        raise refused_row()
    except sqlite3.Error:
        return raised(RuntimeError(f"could not store {STORED}"))


@pytest.mark.parametrize(
    "error",
    [
        refused_row(),
        from_a_database(),
        raised(ExceptionGroup(f"several, of {STORED}", [ValueError(STORED), refused_row()])),
        raised(type("NotThere", (sqlite3.OperationalError,), {"__module__": "myproject"})(STORED)),
    ],
    ids=["itself", "the cause", "in a group", "a subclass"],
)
def test_a_line_has_the_places_of_a_database_error_without_its_values(error: BaseException) -> None:
    """Type and places are logged; the texts of the whole chain, and the lines of code in it, are not."""
    result = describe_error(error, RedactionPolicy())
    assert STORED not in str(result)
    assert result["traceback"].endswith(f"\n{type(error).__qualname__}: [redacted:database]")
    assert 'test_databases.py", line' in result["traceback"]


def test_other_errors_keep_their_text() -> None:
    """A message that no database has written is what its reader needs."""
    result = describe_error(raised(ValueError("expected 3, got 4")), RedactionPolicy())
    assert result["traceback"].endswith("ValueError: expected 3, got 4\n")


@pytest.mark.parametrize(
    ("kind", "is_one"),
    [
        ("asyncpg.exceptions.DataError", True),
        ("redis.exceptions.ResponseError", True),
        ("django.db.utils.IntegrityError", True),
        ("django.http.Http404", False),
        ("redistribution.Error", False),
        ("ValueError", False),
    ],
)
def test_databases_are_known_by_the_module_of_their_exceptions(kind: str, is_one: bool) -> None:
    """A module that only begins with the same letters is another one."""
    assert is_database_error(kind) is is_one


def test_a_chain_that_bites_its_tail_has_an_end() -> None:
    """Frameworks that raise an exception again can make its context its own."""
    one, other = ValueError("one"), ValueError("other")
    one.__context__, other.__context__ = other, one
    assert marker_for(one) is None


def test_only_places_are_left_of_a_traceback() -> None:
    """Not the line of code below each of them, which may hold a value, nor the message."""
    text = "".join(traceback.format_exception(refused_row()))
    assert [line.strip().split(",")[-1] for line in frames_only(text).splitlines()] == [" in refused_row"]


def test_a_groups_places_are_left_too() -> None:
    """They stand behind bars."""
    text = '  |   File "/b c.py", line 12, in <module>\n  |     planted()\n  File "/c.py", line 1, in f planted\n'
    assert frames_only(text) == '  |   File "/b c.py", line 12, in <module>'


def test_an_exception_that_hides_its_cause_may_repeat_it() -> None:
    """As `raise LookupError(str(error)) from None` does."""
    error = LookupError(STORED)
    error.__context__, error.__suppress_context__ = refused_row(), True
    assert marker_for(error) == MARKER
    error.__cause__, error.__context__ = error.__context__, None
    assert marker_for(error) == MARKER


def test_a_databases_exception_in_a_field_is_its_type() -> None:
    """`extra={"error": error}` and the details of a probe show as little of it as a traceback."""
    result = POLICY.redact({"error": from_a_database()})
    assert result == {"error": {"type": "RuntimeError", "args": ["[redacted:database]"]}}
    assert POLICY.redact(LookupError("a")) == {"type": "LookupError", "args": ["a"]}


@pytest.mark.parametrize(
    ("kind", "stacktrace", "expected"),
    [
        ("asyncpg.exceptions.DataError", "", True),
        ("sqlalchemy.exc.IntegrityError", "", True),
        ("django.db.utils.DataError", "", True),
        ("redis.exceptions.ResponseError", "", True),
        ("app.Failed", "Traceback:\nsqlite3.IntegrityError: planted\n\nThe above\napp.Failed: a", True),
        ("ExceptionGroup", "  + Exception Group Traceback:\n  | sqlite3.IntegrityError: planted\n  +---", True),
        ("app.Failed", "sqlite3.IntegrityError", True),
        ("asyncpgish.Error", "", False),
        ("my.asyncpg.Error", "", False),
        ("DataError", "", False),
        ("app.Failed", 'File "/srv/redis.py", line 1, in f\n    sqlite3.connect()\napp.Failed: see redis.io', False),
        ("", "", False),
    ],
)
def test_a_recorded_exception_is_recognised_too(kind: str, stacktrace: str, expected: bool) -> None:
    """By its full name, or by the names in its traceback, because a recorded exception is a text."""
    assert (marker_for_text(kind, stacktrace) == MARKER) is expected


BACKGROUND = "(Background on this error at: https://sqlalche.me/e/21/gkpj)"
# What stands before a value, the value, and what stands behind it.
MESSAGES = [
    ("UNIQUE failed\n[SQL: INSERT ...]\n[parameters: ", "('a]\\nb', 'b ]')", f"]\n{BACKGROUND}\nnext"),
    ("[parameters: ", "{'a': 'b'}", "]\nnext"),
    ("[parameters: ", "('a',", ""),
    ('{"msg":"[parameters: ', "('a',)", f']\\n{BACKGROUND}","n":1}}'),
    ("DETAIL:  Key (name)=(", "Ada (the first)", ") already exists."),
    ("DETAIL:  Key (name, n)=(", "Ada\nLovelace, 1", ') is not present in table "t".'),
    ("Key (room)=(", "a", ""),
    ("Key (t)=(", "[1,2)", ") conflicts with existing key."),
    ("it conflicts with existing key (t)=(", "[0,3)", ").\nnext"),
    ("DETAIL:  Failing row contains (", "1, a\nb (2)", ").\nnext"),
    ('invalid input syntax for type integer: "', 'a "b\n c', '"'),
    ('invalid input value for enum mood: "', "a", '"\nLINE 1'),
    ("Duplicate entry '", "Ada's", "' for key 'users.nick'"),
    # Parameters in logs of statements.
    ("DETAIL:  Parameters: ", "$1 = 'ada', $2 = 'b'", "\nnext"),
    ("Executed DbCommand (3ms) [Parameters=[", "@p0='ada', @p1='b'", "], CommandType='Text']"),
    ("==> Parameters: ", "ada(String), 3(Integer)", "\nnext"),
    ("binding parameter [2] as [VARCHAR] - [", "ada", "]"),
    ("binding parameter (2:VARCHAR) <- [", "ada", "]\nnext"),
    ("column index 2, parameter value [", "ada", "], value class [java.lang.String]"),
    ("[generated in 0.00012s] (", "'ada', 'b'", ")"),
    ("[cached since 1.2s ago] {", "'a': 'ada'", "}"),
    ("query: INSERT INTO t VALUES (?) -- PARAMETERS: [", '"ada"', "]"),
    ("(0.001) INSERT INTO t VALUES (%s); args=(", "'ada',", "); alias=default"),
]


@pytest.mark.parametrize(("before", "value", "after"), MESSAGES)
def test_values_in_a_databases_message_are_replaced(before: str, value: str, after: str) -> None:
    """Where an application writes `f"failed: {error}"` there is nothing left but the text."""
    result = f"{before}[redacted:database]{after}"
    assert POLICY.redact_text(before + value + after) == result
    assert POLICY.redact_text(result) == result


@pytest.mark.parametrize(
    "text",
    [
        "Key (id) is unknown",
        "Key (name)=() already exists.",
        "The [parameters] of a call",
        "Duplicate entry in the list",
        "parameters: a=1, b=2",
        "[raw sql] ()",
        "[Parameters=[], CommandType='Text']",
        "binding parameter count 3",
        "==> Parameters: ",
    ],
)
def test_similar_names_stay(text: str) -> None:
    """A database puts the value into brackets or quotes."""
    assert POLICY.redact_text(text) == text


@pytest.mark.parametrize(
    "piece",
    [
        "[parameters: ",
        "Key (a)=(",
        "Key (",
        "Failing row contains (",
        'invalid input value for a: "',
        "Duplicate entry '",
    ],
)
def test_reading_takes_no_longer_than_its_length(piece: str) -> None:
    """No message makes it try again and again."""
    started = process_time()
    POLICY.redact_text(piece * (60_000 // len(piece)))
    assert process_time() - started < 1.0


POOL_TEXT = "QueuePool limit of size 5 overflow 10 reached, connection timed out, timeout 30.00 "
POOL_TEXT += "(Background on this error at: https://sqlalche.me/e/21/3o7r)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (POOL_TEXT, None),
        (f"{POOL_TEXT}\n{STORED}", MARKER),
        (f"{STORED} {POOL_TEXT}", MARKER),
        (f"Too many connections: {STORED}", MARKER),
    ],
)
def test_the_text_of_a_full_pool_is_kept_in_a_recorded_exception(text: str, expected: str | None) -> None:
    """Only if it is the whole text."""
    stacktrace = (
        f'Traceback (most recent call last):\n  File "/a.py", line 1, in f\nsqlalchemy.exc.TimeoutError: {text}\n'
    )
    assert marker_for_text("sqlalchemy.exc.TimeoutError", stacktrace, text) == expected
    assert marker_for_text("app.Failed", stacktrace, "failed") == expected
