"""Statements and URLs as they may stand in a span."""

from __future__ import annotations

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from divan_obs_asgi.redaction.sql import commands_only, without_literals
from divan_obs_asgi.tracing.export.urls import names_only, with_path, without_query

STATEMENTS = {
    "SELECT * FROM users WHERE id = 42": "SELECT * FROM users WHERE id = ?",
    "SELECT 'a', 'it''s', E'it\\'s', N'x', B'01'": "SELECT ?, ?, ?, ?, ?",
    "SELECT U&'d\\0061t'": "SELECT ?",
    "SELECT -1, 1.5, .5, 1e10, 1.5E-3, 0xFF": "SELECT -?, ?, ?, ?, ?, ?",
    "SELECT $$a 'secret'$$, $tag$ $$ x $tag$": "SELECT ?, ?",
    "SELECT 1 -- a secret\nFROM t /* another */ WHERE a=1": "SELECT ? FROM t WHERE a=?",
    "INSERT INTO t2 (c1) VALUES ($1, :p1, %s, %(name)s, ?)": "INSERT INTO t2 (c1) VALUES ($1, :p1, %s, %(name)s, ?)",
    'SELECT "Table 1"."it\'s" FROM `t 2`': 'SELECT "Table 1"."it\'s" FROM `t 2`',
    "SELECT 'never closed": "SELECT ?",
    "SELECT /* never closed": "SELECT",
    "SELECT $a$ never closed": "SELECT ?",
    "SELECT 'ends in a backslash\\": "SELECT ?",
    "": "",
}


@pytest.mark.parametrize(("statement", "redacted"), STATEMENTS.items())
def test_a_statement_is_shown_without_its_literals(statement: str, redacted: str) -> None:
    """What it does is kept, names and placeholders included; comments can hold anything."""
    assert without_literals(statement) == redacted
    assert without_literals(redacted) == redacted


@given(st.text(), st.text("az 09;,()=-", max_size=20))
def test_a_quoted_secret_never_survives(secret: str, around: str) -> None:
    """Whatever stands in a well-formed literal is gone."""
    needle = "planted" + secret
    statement = around.replace("--", "") + " '" + needle.replace("\\", "").replace("'", "''") + "' x"
    assert "planted" not in without_literals(statement)


@given(st.text(alphabet="'\"`$-/*\\ a1\n", max_size=200))
def test_any_text_is_read_and_reading_twice_changes_nothing(statement: str) -> None:
    """An unbalanced statement does not fail."""
    once = without_literals(statement)
    assert "'" not in once.replace('"', "").replace("`", "") or '"' in once or "`" in once


@pytest.mark.parametrize("piece", ["'", "$", "$a$", "/*", "--", '"', "''", "\\'", "1", "1e", "a.", "*/"])
def test_reading_takes_no_longer_than_its_length(piece: str) -> None:
    """No statement makes it try again and again: 100,000 characters are read in far less than a second."""
    started = process_time()
    without_literals(piece * (100_000 // len(piece)))
    assert process_time() - started < 1.0


@pytest.mark.parametrize(
    ("command", "redacted"),
    [
        ("GET planted-key", "GET ?"),
        ("SET ? ?", "SET ? ?"),
        ("GET a\nINCRBY b 1", "GET ?\nINCRBY ? ?"),
        ("", ""),
    ],
)
def test_a_redis_command_is_shown_without_its_arguments(command: str, redacted: str) -> None:
    """Keys are secrets too; a pipeline is a line for each command."""
    assert commands_only(command) == redacted


@pytest.mark.parametrize(
    ("url", "redacted"),
    [
        ("https://api.example.org/users?q=planted&token=planted", "https://api.example.org/users?q=?&token=?"),
        ("https://planted:planted@example.org/a#planted", "https://example.org/a"),
        ("https://planted@example.org:8443/?planted", "https://example.org:8443/??"),
        ("/users/{id}?planted", "/users/{id}??"),
        ("/users/{id}?", "/users/{id}"),
        ("/users", "/users"),
        ("https://example.org/@ada/posts", "https://example.org/@ada/posts"),
        ("/users?q=planted&r#planted=1", "/users?q=?&?"),
        ("", ""),
    ],
)
def test_a_url_is_shown_without_the_values_of_its_query(url: str, redacted: str) -> None:
    """Without user info and fragment; the names of parameters stay."""
    assert without_query(url) == redacted


@pytest.mark.parametrize(
    ("url", "redacted"),
    [
        ("http://planted:planted@example.org:8000/users/planted?q=planted", "http://example.org:8000/users/{id}"),
        ("https://example.org?planted", "https://example.org/users/{id}"),
        ("/users/planted", "/users/{id}"),
        ("//planted@example.org/users/planted", "/users/{id}"),
    ],
)
def test_a_url_is_shown_with_its_template(url: str, redacted: str) -> None:
    """Of what a framework's own server span says."""
    assert with_path(url, "/users/{id}") == redacted


def test_a_url_without_a_template_keeps_its_host() -> None:
    """The placeholder for a route is not a path, and does not run into the host."""
    assert with_path("https://example.org:8443/planted", "__unmatched__") == "https://example.org:8443/__unmatched__"
    assert with_path("/planted", "__unmatched__") == "__unmatched__"


def test_a_url_of_any_length_is_cut() -> None:
    """A client does not decide how large a span is."""
    long, query = "x" * 100_000, "a=1&" * 100_000
    redacted = [without_query(f"https://{long}"), without_query(f"/?{query}"), names_only(query)]
    assert max(map(len, [*redacted, with_path(f"https://{long}", "/")])) < 2100


def test_a_query_string_keeps_its_names() -> None:
    """What has no value may be one itself, as in engine.io's or a signed URL's; FastAPI writes `=` behind it."""
    assert names_only("EIO=4&sid=planted&planted&&planted=") == "EIO=?&sid=?&?&?"
