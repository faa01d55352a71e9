"""The tables of docs/redaction.md are held against the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import divan_obs_asgi
from divan_obs_asgi.redaction import DEFAULT_RULES, KeyRule, RedactionPolicy, TokenShape
from divan_obs_asgi.redaction.pseudonyms import IP, USER_ID
from tests.pages import Page, coded
from tests.redaction.corpus import load

PAGE = Page("redaction.md")
BY_KEY = [tuple(row.values()) for row in PAGE.table("marker", "redacted keys, for example", "kept keys, for example")]
BY_VALUE = {name for row in PAGE.table("marker", "what is redacted") for name in coded(row["marker"])}
OTHER = {name for row in PAGE.table("marker", "meaning") for name in coded(row["marker"])}
# How code names a marker of its own: `marker("library")`, `"[redacted:unreadable]"`.
IN_CODE = re.compile(r"marker\(\"([a-z_]+)\"\)|[\"']\[redacted:([a-z_]+)\]")


def tokens() -> set[str]:
    """Return the markers of the table of issuers, which is the second one of its section."""
    table = PAGE.text.partition("Tokens with a prefix")[2].partition("\n### ")[0]
    return set(re.findall(r"`([a-z_]+)`", table))


def test_the_table_of_keys_has_every_key_rule() -> None:
    """With the two rules that flags can change."""
    rules = {rule.name for rule in (*DEFAULT_RULES, USER_ID, IP) if isinstance(rule, KeyRule)}
    assert {coded(marker)[0] for marker, *_ in BY_KEY} == rules


def test_the_table_of_issuers_has_every_token_shape() -> None:
    assert tokens() == {rule.name for rule in DEFAULT_RULES if isinstance(rule, TokenShape)}


@pytest.mark.parametrize(("marker", "redacted", "kept"), BY_KEY)
def test_the_example_keys_are_redacted_and_kept(marker: str, redacted: str, kept: str) -> None:
    policy = RedactionPolicy()
    (name,) = coded(marker)
    for key in coded(redacted):
        assert policy.redact({key: "seventeen"}) == {key: f"[redacted:{name}]"}
    for key in coded(kept):
        assert policy.redact({key: "seventeen"}) == {key: "seventeen"}


def test_every_marker_that_a_rule_writes_is_documented() -> None:
    """All rules together, with the corpus of secrets."""
    written: set[str] = set()
    policy = RedactionPolicy(count=written.add)
    for cases in load().values():
        for case in cases:
            case.redacted(policy)
    by_key = {coded(marker)[0] for marker, *_ in BY_KEY}
    assert written - BY_VALUE - by_key - tokens() - OTHER == set()


@pytest.mark.parametrize(
    ("marker", "text"),
    [
        ("email", "to ada@example.org"),
        ("phone", "call +44 20 7946 0958"),
        ("position", "at 52.520008, 13.404954"),
        ("national_id", "id 10000000146"),
        ("card", "paid with 4111 1111 1111 1111"),
        ("iban", "to DE89370400440532013000"),
        ("bearer", "Bearer abcdefgh12345678"),
        ("basic", "Basic YWRhOmh1bnRlcjI="),
        ("private_key", "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----"),
        ("userinfo", "https://ada:hunter2@example.org/"),
        ("credential", "run --password hunter2"),
        ("credential", "curl -u ada:hunter2 https://example.org"),
        ("cookie", "curl -b sid=3f2c1ab https://example.org"),
        ("credential", "redis-cli -a hunter2 get x"),
        ("credential", "mysql -phunter2 shop"),
        ("credential", "sshpass -p hunter2 ssh db"),
        ("url", "Max retries exceeded with url: /rooms/ada?x=1"),
        ("database", "[parameters: ('ada', 'hello')]"),
        ("validation", "Input should be a valid integer [type=int_parsing, input_value='hello', input_type=str]"),
    ],
)
def test_the_markers_of_the_table_by_value_are_written(marker: str, text: str) -> None:
    assert f"[redacted:{marker}]" in RedactionPolicy().redact_text(text)


def test_the_table_by_value_has_no_other_marker() -> None:
    """Each of its markers has a case above."""
    (cases,) = (
        mark.args[1]
        for mark in test_the_markers_of_the_table_by_value_are_written.pytestmark  # type: ignore[attr-defined]
    )
    assert {marker for marker, _ in cases} == BY_VALUE


def test_the_tables_have_the_markers_that_code_writes_by_itself() -> None:
    """Those of reduced log lines, of request views, and of values that could not be read; and no other."""
    files = Path(divan_obs_asgi.__file__).parent.rglob("*.py")
    found = {name for file in files for match in IN_CODE.findall(file.read_text()) for name in match if name}
    assert (found - BY_VALUE) | {"key", "unread", "type ..."} == OTHER
