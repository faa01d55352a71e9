"""The signed header that debugs one request."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from divan_obs_asgi.connection.debug_header import VALID_S, DebugKey
from divan_obs_asgi.redaction import RedactionPolicy

KEY = "0123456789abcdef"
NOW = 1_790_000_000.0


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def signed(head: str, claims: str, key: str = KEY) -> bytes:
    """Return a token that somebody else has signed."""
    text = f"{encoded(head)}.{encoded(claims)}"
    signature = base64.urlsafe_b64encode(hmac.new(key.encode(), text.encode(), hashlib.sha256).digest())
    return text.encode() + b"." + signature.rstrip(b"=")


HEAD = '{"alg":"HS256","typ":"divan-debug"}'


def test_a_header_is_valid_for_fifteen_minutes() -> None:
    """And neither before nor after: a clock that went back makes no header valid for longer."""
    key = DebugKey(KEY)
    value = key.header(NOW).encode()
    assert [key.verifies(value, NOW + s) for s in (-1, 0, VALID_S - 1, VALID_S, VALID_S + 1)] == [
        False,
        True,
        True,
        False,
        False,
    ]


def test_no_two_headers_are_equal() -> None:
    assert DebugKey(KEY).header(NOW) != DebugKey(KEY).header(NOW)


def test_a_header_of_another_key_is_invalid() -> None:
    assert not DebugKey(KEY).verifies(DebugKey(KEY[::-1]).header(NOW).encode(), NOW)


def test_the_format_is_a_json_web_token() -> None:
    """So a deployment may sign headers with any library for them."""
    claims = json.dumps({"exp": NOW + 60, "v": 1, "jti": "a"})
    assert DebugKey(KEY).verifies(signed(HEAD, claims), NOW)


@pytest.mark.parametrize(
    ("head", "claims"),
    [
        ('{"alg":"none","typ":"divan-debug"}', {"exp": NOW + 60, "v": 1}),
        ('{"alg":"HS256","typ":"JWT"}', {"exp": NOW + 60, "v": 1}),
        (HEAD, {"exp": NOW + VALID_S + 1, "v": 1}),
        (HEAD, {"exp": NOW + 60, "v": 2}),
        (HEAD, {"exp": NOW + 60}),
        (HEAD, {"v": 1}),
        (HEAD, {"exp": "soon", "v": 1}),
        (HEAD, {"exp": float("nan"), "v": 1}),
        (HEAD, {"exp": None, "v": 1}),
        (HEAD, []),
        (HEAD, "x"),
    ],
)
def test_a_token_for_another_purpose_is_invalid(head: str, claims: object) -> None:
    """Also one that is signed with the same key."""
    assert not DebugKey(KEY).verifies(signed(head, json.dumps(claims)), NOW)


def test_claims_that_are_not_json_are_invalid() -> None:
    assert not DebugKey(KEY).verifies(signed(HEAD, "{"), NOW)


@given(st.binary(max_size=400))
@example(b"")
@example(b".")
@example(b"..")
@example(b"\xff.\xff.\xff")
def test_no_other_bytes_are_valid(value: bytes) -> None:
    assert not DebugKey(KEY).verifies(value, NOW)


@given(st.data())
def test_a_changed_byte_makes_it_invalid(data: st.DataObject) -> None:
    value = bytearray(DebugKey(KEY).header(NOW).encode())
    place = data.draw(st.integers(0, len(value) - 1))
    value[place] ^= data.draw(st.integers(1, 255))
    assert not DebugKey(KEY).verifies(bytes(value), NOW)


def test_redaction_knows_the_value() -> None:
    """Wherever it appears: in a line with the command, in an error message, under any key."""
    value = DebugKey(KEY).header(NOW)
    policy = RedactionPolicy()
    assert policy.redact_text(f"curl -H 'X-Divan-Debug: {value}' /x") == "curl -H 'X-Divan-Debug: [redacted:jwt]' /x"
    assert policy.redact({"header": value}) == {"header": "[redacted:jwt]"}
