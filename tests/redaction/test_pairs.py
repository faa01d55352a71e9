"""Values by the key in front of them, however the two are written."""

from __future__ import annotations

import string
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict, MultiDict
from starlette.datastructures import FormData, Headers, QueryParams
from starlette.datastructures import MultiDict as StarletteMultiDict
from werkzeug.datastructures import ImmutableMultiDict

from divan_obs_asgi import RedactionPolicy
from divan_obs_asgi.redaction import Limits

POLICY = RedactionPolicy()
SECRET = "hunter2"

VALUES: dict[str, Any] = {
    "of bytes": [(b"x-api-key", SECRET.encode()), (b"a", b"b")],
    "of texts": ("password", SECRET),
    "lists": [["authorization", f"x {SECRET}"], ["a", "b"]],
    "starlette's raw headers": Headers(raw=[(b"x-api-key", SECRET.encode())]),
    "starlette's headers": Headers({"x-api-key": SECRET}),
    "starlette's": StarletteMultiDict([("password", SECRET), ("a", "b")]),
    "a query": QueryParams([("password", SECRET), ("password", SECRET)]),
    "a form": FormData([("password", SECRET)]),
    "httpx": httpx.Headers([("password", SECRET), ("a", "b")]),
    "multidict": MultiDict([("password", SECRET), ("a", "b")]),
    "multidict of headers": CIMultiDict([("Password", SECRET)]),
    "werkzeug": ImmutableMultiDict([("password", SECRET)]),
    "a name and a value": [{"name": "password", "value": SECRET}],
    "views": {"password": SECRET}.items(),
    "a list in a pair": [("passwords", ["a", SECRET])],
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("as_text", [repr, str, lambda value: repr(repr(value)), lambda value: value])
def test_a_pair_is_a_field(value: object, as_text: Any) -> None:
    """As a value, and as what `repr` makes of it inside a message."""
    assert SECRET not in str(POLICY.redact({"seen": as_text(value)}))


@pytest.mark.parametrize(
    "text",
    [
        *("password[]={}", "password%5B%5D={}", "password%5b0%5d={}", "user[password]={}", "password[0]={}&a=b"),
        *("password -> {}", "password->{}", "password => {}", "password := {}", "password\u2192{}", "password\uff1a{}"),
        *("password:\n  {}", "a: b\npassword:\r\n\t{}\nc: d", "password:\n{}", "password: |\n  one\n  {}\n"),
        *("- password:\n    {}", "users:\n  password:\n    - one\n    - {}\n  a: b", "password:\\n  {}\\na: b"),
        "pwd: >-\n  {}",
        *("Cookie:\r\n a=b; c={}\r\nHost: x", "authorization:\n\tx {}"),
        *("\uff50\uff41\uff53\uff53\uff57\uff4f\uff52\uff44={}", "\uff50assword\uff1d{}",),
        *("p\u0430ssw\u043erd={}", "\u0440\u0430ssword: {}"),
        *("t\u03bfken={}", "s\u0435\u0441ret={}", "\U0001d429assword={}", "pássword={}", "\u0455ecret={}"),
        *("pass\u200bword={}", "pass\u200d\ufeffword: {}", "pass\u202eword={}", "pass\xadword={}"),
        "pass\x1b[1mword={}",
        *("%70assword={}", "p%61%73sword%3D{}", "\\u0070assword={}", "\\x70assword={}", "&#112;assword={}"),
        "&#x70;ass={}",
        *("dbPassword={}", "db-password={}", "DB_PASSWORD={}", "userPasswordConfirm={}", "X-Api-Key: {}", "apiKey={}"),
        *("Cookie(name='sid', value='{}')", "{{'name': 'token', 'value': '{}'}}", '{{"key":"token","value":"{}"}}'),
    ],
)  # fmt: skip
def test_a_value_is_found_however_it_is_written(text: str) -> None:
    """As forms, Ruby, Go, YAML and folded headers have it; and disguised, as an attacker would."""
    result = POLICY.redact_text(text.format(SECRET))
    assert SECRET not in result
    assert POLICY.redact_text(result) == result


@pytest.mark.parametrize("key", ["p\u0430ssword", "pass\u200bword", "\uff50assword", "%70assword", "\\u0070assword"])
def test_a_disguised_key_of_a_field_is_that_key(key: str) -> None:
    """A field is not more easily deceived than a text."""
    assert SECRET not in str(POLICY.redact({key: SECRET}))


@pytest.mark.parametrize(
    "text",
    [
        "required: ['password', 'email']",
        "fields: ('name', 'password')",
        "password:\n  type: string\n  min: 3",
        "for token in tokens:\n    use(token)",
        "if not password:\n    raise LookupError",
        'token:\n  File "a.py", line 3, in f',
        "$token->expires_at",
        "Passwords:\nnone here",
        "\u0441\u0440\u043e\u043a: 3 \u0440\u0430\u0437\u0430",
        "50%25 of 100%20 \\u00e9 \\x1f",
        "caf\xe9: open",
        "\U0001f469\u200d\U0001f4bb \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    ],
)
def test_look_alikes_stay(text: str) -> None:
    """Names of fields, code and words of other languages are not secrets."""
    assert POLICY.redact_text(text) == text
    assert POLICY.redact(["password", "email"]) == ["password", "email"]


@pytest.mark.parametrize("limit", [40, 200, 2048])
@pytest.mark.parametrize(
    "option", ["--token ", "--password '", "password: ", "password=", 'token="', "Cookie: ", "lat=1.0, ", "[('pin', "]
)
def test_a_cut_after_an_option_is_not_a_value(option: str, limit: int) -> None:
    """Wherever it falls."""
    policy = RedactionPolicy(limits=Limits(text=limit))
    for before in range(limit - 40, limit):
        once = policy.redact_text(f"{'x' * before} {option}expired and more than that" + " y" * limit)
        assert policy.redact_text(once) == once
        assert len(once) <= limit


FRAGMENTS = [
    *("--token ", "--password ", "password: ", "password=", "expired", "token", "Cookie: ", "Bearer ", "hunter2x"),
    *("=", " "),
    *("[('password', '", "')]", "'", '"', "\n", "\n  ", " -> ", "[]", "[redacted:email]", "[cut:length]", "%70"),
    *("{'loc': ('a',), 'msg': '", "ValidationError: ", "1 validation error for A\n", "\u200b", "p\u0430ss"),
    *("lat=52.5", "x" * 9, "a b"),
    *("(id, password) VALUES (1, '", "), (2, ", "id,password\n", "1,hunter2x", " a | token\n---+---\n"),
    *(" 1 | x7y7z7\n", "' is not valid for password", "value hunter2x for token", "setx DB_PASSWORD ", '"AUTH" "'),
    *("AUTH ada ", "a1 LOGIN ada "),
    *("net use Z: \\\\a\\b ", "curl -u ada:", "IDENTIFIED BY '", "echo '", "' | sudo -S ", "SET PASSWORD FOR a = '"),
]  # fmt: skip


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=24).map("".join), st.integers(14, 120))
def test_redacting_a_cut_text_twice_changes_nothing_more(text: str, limit: int) -> None:
    """Made of what the rules look for, and cut anywhere."""
    policy = RedactionPolicy(limits=Limits(text=limit))
    once = policy.redact_text(text)
    assert policy.redact_text(once) == once


@given(st.text(string.ascii_letters, min_size=1, max_size=9))
@example("JX")  # The stand-in for a word of another script that describes a key.
def test_a_needless_escape_hides_nothing(rest: str) -> None:
    """Each letter of a key may be encoded."""
    encoded = "".join(f"%{ord(char):02x}" for char in "password")
    assert SECRET not in POLICY.redact_text(f"{quote(rest)}_{encoded}={SECRET}")
