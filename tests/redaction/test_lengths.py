"""How much of a text the rules are given, and that nothing of a secret is left where it is cut."""

from __future__ import annotations

import logging

import pytest

from divan_obs_asgi.logs import Lines
from divan_obs_asgi.logs.errors import describe_error
from divan_obs_asgi.redaction import Limits, RedactionPolicy, TextRule
from divan_obs_asgi.redaction.tokens import TokenRule
from divan_obs_asgi.redaction.view import Budget, Found, View

LONG = 65_536
# The limit of a text, and the characters that are read beyond it.
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
def test_of_a_long_text_rules_read_the_result_and_little_more(method: str, text: str) -> None:
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
    """Message, traceback, stack and fields together are bounded; the result of a cut text is read again."""
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
    assert sum(counted.read) <= 9 * READ


@pytest.mark.parametrize("dense", ["a@b.co ", "token=a1 ", "sk-", "+1234567 ", "4111 1111 1111 1111 ", "http://a:b@c "])
def test_a_text_of_many_secrets_is_not_read_to_its_end(dense: str) -> None:
    """Each costs microseconds; what is behind the first hundred is redacted as it stands."""
    shown = RedactionPolicy().redact_text((dense * 2048)[:2048])
    assert shown.count("[redacted:") <= 110
    assert shown.endswith(("[redacted:unread]", "[cut:length]")) or len(dense) > 12
    assert RedactionPolicy().redact_text(shown) == shown


@pytest.mark.parametrize(
    "secret", ["eyJ" + "aB3-" * 1500 + ".eyJzdWIi.c2ln", JWT, "SG." + "aB3_" * 30 + "." + "aB3_" * 30]
)
@pytest.mark.parametrize("before", ["", " ", "/", "?x=", '"'])
@pytest.mark.parametrize("at", [10, 1500, 2040, 2100, 3000, 4000, 4090])
def test_a_token_at_a_cut_is_gone(secret: str, before: str, at: int) -> None:
    """Also where what makes it one is behind the cut."""
    text = ("x " * at)[:at] + before + secret + " y" * LONG
    shown = RedactionPolicy().redact_text(text)
    assert "aB3" not in shown
    assert JWT[:12] not in shown


@pytest.mark.parametrize("at", [10, 1000, 2000, 2047, 2100, 3000, 4095])
def test_a_password_in_a_url_at_a_cut_is_gone(at: int) -> None:
    """Its "@" may be a thousand characters away."""
    shown = RedactionPolicy().redact_text(("x " * at)[:at] + "redis://u:" + "hunter-" * 140 + "@db " + "y " * LONG)
    assert "hunter-" not in shown


@pytest.mark.parametrize("size", [3000, 5000, LONG])
def test_a_key_in_a_long_message_of_a_traceback_is_gone(size: int) -> None:
    """A traceback is cut between its frames, and not in a message, where a secret may have begun before."""
    key = "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBg\n" * (size // 15)
    head = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\n'
    shown = RedactionPolicy().redact_traceback(f"{head}ValueError: {key}")
    assert "MIIEvQ" not in shown
    shown = RedactionPolicy().redact_traceback(f"{head}ValueError: {key}\n\n{head}LookupError: no tea")
    assert "MIIEvQ" not in shown
    assert shown.endswith("LookupError: no tea") or "[redacted:private_key]" in shown


def test_a_traceback_with_a_long_message_keeps_frames_and_type() -> None:
    """An operator needs these first, whatever a client has made the message of."""
    frames = "".join(f'  File "app.py", line {n}, in step_{n}\n    step_{n + 1}()\n' for n in range(8))
    text = f"Traceback (most recent call last):\n{frames}app.errors.Refused: order 7, {JWT} " + "x y\n" * LONG
    shown = RedactionPolicy().redact_traceback(text)
    assert "in step_7\n" in shown
    assert "app.errors.Refused: order 7, [redacted:jwt] x y\n" in shown
    assert shown.endswith("[cut:length]")
    assert len(shown) <= Limits().text
    assert RedactionPolicy().redact_traceback(shown) == shown


@pytest.mark.parametrize("size", [100, 1500, 5000, LONG])
def test_an_exception_with_a_long_message_keeps_frames_and_type(size: int) -> None:
    """The same in a line of the log, where the cause has a long message as well."""
    try:
        try:
            raise KeyError("of a client " * size)
        except KeyError as cause:
            raise LookupError(f"{JWT} and more\n" * size) from cause
    except LookupError as error:
        shown = describe_error(error, RedactionPolicy())["traceback"]
    assert "in test_an_exception_with_a_long_message_keeps_frames_and_type\n" in shown
    assert "\nLookupError: [redacted:jwt] and more\n" in shown
    assert JWT[:12] not in shown


FORGED = '  File "a.py", line 1, in f\n'


@pytest.mark.parametrize("quote", ["'", "[", "("])
@pytest.mark.parametrize("before", [3000, 1000, 100])
@pytest.mark.parametrize("behind", [100, 1000, 1800])
def test_the_end_of_a_secret_behind_a_forged_frame_is_gone(quote: str, before: int, behind: int) -> None:
    """A client's text may have a line in it that looks like a frame, where a traceback is cut."""
    text = f"Traceback (most recent call last):\n{FORGED}ValueError: " + "x y\n" * before
    text += (
        f"password={quote}" + "ab cd\n" * (behind // 6) + FORGED + "    hunter-22 is mine\n" + "ab\n" * (behind // 3)
    )
    for end in ("", FORGED + "tail\n" * 300):
        assert "hunter-22" not in RedactionPolicy().redact_traceback(text + end)


@pytest.mark.parametrize("line", ["MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7", "3f2a" * 10])
@pytest.mark.parametrize("armour", ["-----BEGIN RSA PRIVATE KEY-----\n", ""])
@pytest.mark.parametrize("lines", [30, 60, 100, 1000])
def test_the_end_of_a_key_behind_a_forged_frame_is_gone(line: str, armour: str, lines: int) -> None:
    """However far in front of the cut it has begun."""
    text = f"Traceback (most recent call last):\n{FORGED}ValueError: {armour}" + f"{line}\n" * lines
    for end in ("", FORGED, FORGED + f"{line}\n" * 20, FORGED + f"{line}\n" * 45):
        shown = RedactionPolicy().redact_traceback(text + end)
        # Without an armour the first one is a word like any other.
        assert shown.count(line) <= (0 if armour else 1) or (not armour and len(text + end) <= 2048)


@pytest.mark.parametrize("escape", ["%70", "\\u0070", "\\x70", "&#112;", "52.5200,", "--token "])
def test_places_without_secrets_cost_more_than_letters(escape: str) -> None:
    """An escape, a point, an option without its value: of a line full of them the rest is not read."""
    policy = RedactionPolicy()
    shown = policy.redact_fields({f"f{i}": escape * 150 + str(i) for i in range(20)}, 100_000, policy.line_budget())
    assert "redacted:unread" in str(shown["f19"])
    assert policy.redact_text(escape * 3) == escape * 3


def test_ids_of_rooms_use_up_little_of_what_may_be_read() -> None:
    """A colon is part of a token of Telegram after a digit only."""
    rooms = " ".join(f"room:{number:08x}-2f0b-4c5e-9a43-c1d7c1d7c1d7" for number in range(40))
    view = View(f"{rooms} {'ghp_' + 'a1B2c3' * 6}", Budget(8192))
    assert [name for _, _, name in TokenRule().find(view)] == ["github_token"]
