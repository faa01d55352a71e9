"""Exceptions of databases, whose text repeats what is stored."""

from __future__ import annotations

import sqlite3
import traceback

import pytest

from divan_obs_asgi import RedactionPolicy
from divan_obs_asgi.logs.errors import describe_error
from divan_obs_asgi.redaction.databases import caused_by_a_database, frames_only, of_a_database

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
def test_a_line_tells_where_a_database_failed_and_not_with_what(error: BaseException) -> None:
    """Type and places are told; the texts of the whole chain, and the lines of code in it, are not."""
    told = describe_error(error, RedactionPolicy())
    assert STORED not in str(told)
    assert told["traceback"].endswith(f"\n{type(error).__qualname__}: [redacted:database]")
    assert 'test_databases.py", line' in told["traceback"]


def test_other_errors_keep_their_text() -> None:
    """A message that no database has written is what its reader needs."""
    told = describe_error(raised(ValueError("expected 3, got 4")), RedactionPolicy())
    assert told["traceback"].endswith("ValueError: expected 3, got 4\n")


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
    assert of_a_database(kind) is is_one


def test_a_chain_that_bites_its_tail_has_an_end() -> None:
    """Frameworks that raise an exception again can make its context its own."""
    one, other = ValueError("one"), ValueError("other")
    one.__context__, other.__context__ = other, one
    assert not caused_by_a_database(one)


def test_only_places_are_left_of_a_traceback() -> None:
    """Not the line of code below each of them, which may hold a value, nor the message."""
    text = "".join(traceback.format_exception(refused_row()))
    assert [line.strip().split(",")[-1] for line in frames_only(text).splitlines()] == [" in refused_row"]
