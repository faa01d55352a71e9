"""Secrets, and values that contain one, for tests with hypothesis (imported only here)."""

from __future__ import annotations

import base64
import json
import string
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

_ALPHANUMERIC = string.ascii_letters + string.digits
# Keys that do not make a value sensitive.
_PLAIN_KEYS = ("a", "items", "note", "status", "wert", "değer")


@dataclass(frozen=True)
class Secret:
    """
    Something that must not leave a process.

    Attributes:
        kind: what it is, for messages.
        text: the secret itself.
        keys: keys that make it sensitive.
    """

    kind: str
    text: str = field(repr=False)
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Planted:
    """A value that contains a secret."""

    value: Any
    secret: Secret


def secrets() -> st.SearchStrategy[Secret]:
    """Return tokens, e-mail addresses, positions, and passwords, which can be recognised by their key only."""
    return st.one_of(_tokens(), _emails(), _positions(), _passwords())


def texts_with_a_secret() -> st.SearchStrategy[Planted]:
    """Return texts with a secret that is recognised by itself or by its key: plain, encoded, in JSON, SQL, a URL."""
    return secrets().flatmap(_in_texts)


def nested_with_a_secret() -> st.SearchStrategy[Planted]:
    """Return nested lists, tuples and mappings with one secret, in a text or under a sensitive key."""
    return secrets().flatmap(lambda secret: st.one_of(_under_keys(secret), _in_texts(secret)).flatmap(_nested))


def _tokens() -> st.SearchStrategy[Secret]:
    def token(first: str, second: str) -> Secret:
        # Each half contains characters that other texts do not have by chance, unlike a row of zeros.
        return Secret("token", f"ghp_Zq{first}Qz7{second}", ("token", "api_key", "X-Api-Key"))

    first, second = (st.text(_ALPHANUMERIC, min_size=size, max_size=size) for size in (14, 17))
    return st.builds(token, first, second)


def _emails() -> st.SearchStrategy[Secret]:
    local = st.text(string.ascii_lowercase + string.digits, min_size=6, max_size=20)
    return st.builds(lambda name: Secret("email", f"{name}@mine.example", ("email", "userEmail", "E-MAIL")), local)


def _positions() -> st.SearchStrategy[Secret]:
    degrees, decimals = st.integers(10, 79), st.integers(100_000, 899_999)

    def position(lat: int, lat_decimals: int, lon: int, lon_decimals: int) -> Secret:
        return Secret("position", f"{lat}.{lat_decimals}1, {lon}.{lon_decimals}1", ("coordinates", "geo"))

    return st.builds(position, degrees, decimals, degrees, decimals)


def _passwords() -> st.SearchStrategy[Secret]:
    # With a digit, so that it is not a word of a sentence.
    middle = st.text(_ALPHANUMERIC + "-_!", min_size=6, max_size=16)
    keys = ("password", "PASSWORD", "userPassword", "db_password", "clientSecret")
    return st.builds(lambda text: Secret("password", f"q{text}7z", keys), middle)


def _in_texts(secret: Secret) -> st.SearchStrategy[Planted]:
    ways: list[Callable[[str], str]] = [
        lambda key: f"{key}={secret.text}",
        lambda key: json.dumps({key: secret.text, "n": 1}),
        lambda key: json.dumps({"a": json.dumps({key: secret.text})}),
        lambda key: f"GET /a?{quote(key)}={quote(secret.text, safe='')}&n=1 failed",
        lambda key: str({key: secret.text}),
    ]
    if secret.kind == "password":
        credentials = base64.b64encode(f"ada:{secret.text}".encode()).decode()
        ways += [
            lambda _: f"Authorization: Basic {credentials}",
            lambda _: f"see amqp://ada:{secret.text}@mq:1/v",
            lambda key: f"INSERT INTO a (n, {key}) VALUES (1, '{secret.text}'), (2, '{secret.text}')",
            lambda key: f"'{secret.text}' is not a valid value for {key}",
            lambda key: f"setx {key} {secret.text}",
            lambda _: f'"AUTH" "ada" "{secret.text}"',
            lambda _: f"net use Z: \\\\srv\\share {secret.text}",
            lambda _: f"CREATE USER ada IDENTIFIED BY '{secret.text}'",
        ]
    else:
        ways += [lambda _: f"no {secret.text} here", lambda _: f"[{secret.text}]", lambda _: secret.text]
    if secret.kind == "email":
        ways.append(lambda _: json.dumps({"note": secret.text}).replace("@", "\\u0040"))
    written = st.builds(lambda way, key: way(key), st.sampled_from(ways), st.sampled_from(secret.keys))
    return written.map(lambda text: Planted(text, secret))


def _under_keys(secret: Secret) -> st.SearchStrategy[Planted]:
    shapes: list[Callable[[str], Any]] = [
        lambda text: text,
        lambda text: [text],
        lambda text: {"value": text},
        lambda text: text.encode(),
        lambda text: (1, (text,)),
    ]
    return st.builds(
        lambda key, shape: Planted({key: shape(secret.text)}, secret),
        st.sampled_from(secret.keys),
        st.sampled_from(shapes),
    )


def _nested(planted: Planted) -> st.SearchStrategy[Planted]:
    """Return the value inside lists and mappings with other values."""
    beside = st.none() | st.booleans() | st.integers(-9999, 9999) | st.text(string.ascii_lowercase + " ", max_size=12)

    def wrapped(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.one_of(
            st.builds(
                lambda before, it, after: [*before, it, *after],
                st.lists(beside, max_size=3),
                inner,
                st.lists(beside, max_size=3),
            ),
            st.builds(lambda other, it: (other, it), beside, inner),
            st.builds(lambda key, it, other: {"n": other, key: it}, st.sampled_from(_PLAIN_KEYS), inner, beside),
        )

    return st.recursive(st.just(planted.value), wrapped, max_leaves=4).map(lambda value: Planted(value, planted.secret))


__all__ = ["Planted", "Secret", "nested_with_a_secret", "secrets", "texts_with_a_secret"]
