"""How much of a text the rules are given, and that nothing of a secret is left where it is cut."""

from __future__ import annotations

import logging

import pytest

from divan_obs_asgi.logs import Lines
from divan_obs_asgi.redaction import Limits, RedactionPolicy, TextRule
from divan_obs_asgi.redaction.view import Found, View

LONG = 65_536
# What is told of a text, and what is read beyond it.
READ = 2 * Limits().text
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"


class Counted:
    """A policy that counts the characters that its rules are given."""

    def __init__(self) -> None:
        self.read: list[int] = []
        self.policy = RedactionPolicy((TextRule(self.find),))

    def find(self, view: View) -> list[Found]:
        self.read.append(len(view.raw))
        return []


@pytest.mark.parametrize("method", ["redact_text", "redact_traceback", "redact"])
@pytest.mark.parametrize("text", ["x", "x y ", 'a\n  File "a.py", line 1, in f\n', "é "])
def test_of_a_long_text_rules_read_what_is_told_and_little_more(method: str, text: str) -> None:
    """64 KB of a client's never go through the rules."""
    counted = Counted()
    getattr(counted.policy, method)((text * LONG)[:LONG])
    assert 0 < max(counted.read) <= READ
    assert sum(counted.read) <= 2 * READ


def test_a_value_is_read_to_a_limit_in_all() -> None:
    """However many texts it holds, and however little is left of them."""
    counted = Counted()
    counted.policy.redact([[["x " * LONG] * 10] * 10] * 10)
    assert sum(counted.read) <= Limits().total + READ


def test_a_line_is_read_to_a_limit_in_all() -> None:
    """Message, traceback, stack and fields together are bounded."""
    counted = Counted()
    lines = Lines("divan", "test", "abc", counted.policy)
    record = logging.makeLogRecord(
        {
            "msg": "x " * LONG,
            "stack_info": "y " * LONG,
            **{f"field_{n}": {"a": "z " * LONG, "b": ["w " * LONG] * 10} for n in range(40)},
        }
    )
    try:
        raise ValueError("v " * LONG)
    except ValueError as error:
        record.exc_info = (type(error), error, error.__traceback__)
    lines.application(record, None, 1.0)
    assert sum(counted.read) <= 7 * READ


@pytest.mark.parametrize("dense", ["a@b.co ", "token=a1 ", "sk-", "+1234567 ", "4111 1111 1111 1111 ", "http://a:b@c "])
def test_a_text_of_many_secrets_is_not_read_to_its_end(dense: str) -> None:
    """Each costs microseconds; what is behind the first hundred is redacted as it stands."""
    told = RedactionPolicy().redact_text((dense * 2048)[:2048])
    assert told.count("[redacted:") <= 110
    assert told.endswith(("[redacted:unread]", "[cut:length]")) or len(dense) > 12
    assert RedactionPolicy().redact_text(told) == told


@pytest.mark.parametrize(
    "secret", ["eyJ" + "aB3-" * 1500 + ".eyJzdWIi.c2ln", JWT, "SG." + "aB3_" * 30 + "." + "aB3_" * 30]
)
@pytest.mark.parametrize("before", ["", " ", "/", "?x=", '"'])
@pytest.mark.parametrize("at", [10, 1500, 2040, 2100, 3000, 4000, 4090])
def test_a_token_at_a_cut_is_gone(secret: str, before: str, at: int) -> None:
    """Also where what makes it one is behind the cut."""
    text = ("x " * at)[:at] + before + secret + " y" * LONG
    told = RedactionPolicy().redact_text(text)
    assert "aB3" not in told
    assert JWT[:12] not in told


@pytest.mark.parametrize("at", [10, 1000, 2000, 2047, 2100, 3000, 4095])
def test_a_password_in_a_url_at_a_cut_is_gone(at: int) -> None:
    """Its "@" may be a thousand characters away."""
    told = RedactionPolicy().redact_text(("x " * at)[:at] + "redis://u:" + "hunter-" * 140 + "@db " + "y " * LONG)
    assert "hunter-" not in told


@pytest.mark.parametrize("size", [3000, 5000, LONG])
def test_a_key_in_a_long_message_of_a_traceback_is_gone(size: int) -> None:
    """A traceback is cut between its frames, and not in a message, where a secret may have begun before."""
    key = "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBg\n" * (size // 15)
    head = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\n'
    told = RedactionPolicy().redact_traceback(f"{head}ValueError: {key}")
    assert "MIIEvQ" not in told
    told = RedactionPolicy().redact_traceback(f"{head}ValueError: {key}\n\n{head}LookupError: no tea")
    assert "MIIEvQ" not in told
    assert told.endswith("LookupError: no tea") or "[redacted:private_key]" in told
