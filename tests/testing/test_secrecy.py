"""The helper for everyone's tests: it finds a secret in what was captured, and does not repeat it."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from divan_obs_asgi.testing import assert_no_secret
from divan_obs_asgi.testing.strategies import Planted, nested_with_a_secret, texts_with_a_secret

SECRET = "s3cr3t/Ho+rs\u00e9"
PRINTABLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=9, max_size=19)


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(char):04x}" for char in text)


WAYS: dict[str, Callable[[str], Any]] = {
    "as it is": lambda secret: f"a {secret} b",
    "bytes": lambda secret: f"a {secret} b".encode(),
    "capitals": str.upper,
    "small letters": str.lower,
    "URL-encoded": lambda secret: f"/a?b={quote(secret, safe='')}",
    "form-encoded": lambda secret: f"b={quote_plus(secret)}&c=1",
    "encoded in small letters": lambda secret: quote(secret, safe="").lower(),
    "JSON": lambda secret: json.dumps({"a": secret}),
    "JSON in JSON": lambda secret: json.dumps({"a": json.dumps([secret])}),
    "escaped": escaped,
    "repr": repr,
    "a key": lambda secret: {secret: 1},
    "nested": lambda secret: [1, None, {"a": ({"b": [secret]},)}],
    "a generator": lambda secret: (part for part in ["a", secret]),
    "base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "base64 with one before": lambda secret: base64.b64encode(f"u{secret}:x".encode()),
    "base64 with two before": lambda secret: base64.b64encode(f"u:{secret}".encode()),
    "base64 for URLs": lambda secret: base64.urlsafe_b64encode(f"ada:{secret}".encode()),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_a_secret_is_found(way: Callable[[str], Any]) -> None:
    """However it was written."""
    with pytest.raises(AssertionError) as raised:
        assert_no_secret(way(SECRET), {"horse": SECRET})
    assert str(raised.value) == "1 secrets can be read from what was captured: horse"


@given(PRINTABLE, st.sampled_from(list(WAYS.values())))
@example('0000000"\\', WAYS["JSON in JSON"])  # Its own backslash is doubled twice.
def test_any_secret_is_found(secret: str, way: Callable[[str], Any]) -> None:
    """Whatever characters it has."""
    with pytest.raises(AssertionError):
        assert_no_secret(way(secret), [secret])


@pytest.mark.slow
@given(texts_with_a_secret() | nested_with_a_secret())
def test_the_strategies_secrets_are_there(planted: Planted) -> None:
    """A value of the strategies holds its secret, so that a test with them can fail."""
    with pytest.raises(AssertionError, match=planted.secret.kind):
        assert_no_secret(planted.value, {planted.secret.kind: planted.secret.text})


def test_half_a_long_secret_is_one() -> None:
    """Who stops too early has hidden too little."""
    with pytest.raises(AssertionError):
        assert_no_secret("key [redacted:x]0123456789", ["abcdefghij0123456789"])
    assert_no_secret("ada@[redacted]", ["ada.lovelace@mine.example"])


@pytest.mark.parametrize("captured", ["", b"", [], {}, None, 1.5, "[redacted:email]", {"a": ["\x00", b"\xff"]}])
def test_what_shows_no_secret_passes(captured: object) -> None:
    """Markers and binary data too."""
    assert_no_secret(captured, ["ada@mine.example", SECRET])


def test_a_number_is_read_as_it_is_written() -> None:
    """A position is a secret also where it is no text."""
    with pytest.raises(AssertionError):
        assert_no_secret({"lat": 52.520008}, ["52.520008"])


def test_the_error_names_the_secret_and_does_not_repeat_it() -> None:
    """It ends up in the logs of a build."""
    with pytest.raises(AssertionError) as raised:
        assert_no_secret(["one-1111", "three-3333"], ["one-1111", "two-2222", "three-3333"])
    assert str(raised.value) == "2 secrets can be read from what was captured: number 1, number 3"


@pytest.mark.parametrize("secrets", [[], {}, [""], {"empty": ""}])
def test_a_search_for_nothing_is_a_mistake(secrets: Any) -> None:
    """It would pass for ever."""
    with pytest.raises(ValueError, match="No secret to look for"):
        assert_no_secret("a", secrets)


def test_one_text_is_no_list_of_secrets() -> None:
    """Each of its letters would be one."""
    with pytest.raises(TypeError, match="expected a list of secrets"):
        assert_no_secret("a", "secret")


def test_what_cannot_be_looked_into_is_a_mistake() -> None:
    """An object may show anything, sometime."""
    with pytest.raises(TypeError, match="captured has a object"):
        assert_no_secret([object()], ["secret"])


@pytest.mark.slow
def test_the_helpers_need_no_hypothesis() -> None:
    """Only who imports the strategies needs it."""
    code = "import sys; sys.modules['hypothesis'] = None; import divan_obs_asgi.testing"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
