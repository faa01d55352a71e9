"""Searches captured output for secrets, encoded or not."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, quote_plus, unquote, unquote_plus

# Half of a long key is still a leak, and rules often stop too early. Half of an e-mail address is not a leak.
_LONG = 20
# Shorter base64 occurs by chance in other text.
_SHORTEST_IN_BASE64 = 8
_ESCAPE = re.compile(r"\\+u([0-9a-fA-F]{4})")
_ONE_ESCAPE = re.compile(r"\\([\"'/\\])")
_LEVELS = 3
_BACKSLASHES = re.compile(r"\\+([\"'/\\])")


def assert_no_secret(captured: object, secrets: Mapping[str, str] | Iterable[str]) -> None:
    """
    Assert that none of `secrets` can be read from `captured`.

    Each secret is searched for in plain text, in any case, URL-encoded, with JSON escapes, and in base64 at any of the
    three alignments; a secret of 20 characters or more also by each half. The error names the secret by its label and
    does not repeat it.

    Args:
        captured: bytes, text, numbers, or mappings and iterables of them, nested.
        secrets: by label; the error names the label, or the position of a secret without one.

    Raises:
        AssertionError: if a secret can be read.
        TypeError: for captured objects that cannot be searched.
        ValueError: without secrets.
    """
    leaked = surviving(captured, secrets)
    if leaked:
        raise AssertionError(f"{len(leaked)} secrets can be read from what was captured: {', '.join(leaked)}")


def surviving(captured: object, secrets: Mapping[str, str] | Iterable[str]) -> list[str]:
    """Return the labels of those secrets that `captured` still shows; arguments as for `assert_no_secret`."""
    labelled = _labelled(secrets)
    texts = list(_texts(captured))
    readings = {reading.lower() for text in texts for reading in _readings(text)}
    return [label for label, secret in labelled if any(_shows(texts, readings, part) for part in _parts(secret))]


def _labelled(secrets: Mapping[str, str] | Iterable[str]) -> list[tuple[str, str]]:
    if isinstance(secrets, (str, bytes)):
        raise TypeError("secrets is one text; expected a list of secrets or a mapping of labels to secrets.")
    if isinstance(secrets, Mapping):
        labelled = [(str(label), secret) for label, secret in secrets.items()]
    else:
        labelled = [(f"number {number}", secret) for number, secret in enumerate(secrets, 1)]
    empty = [label for label, secret in labelled if not secret]
    if empty or not labelled:
        raise ValueError(f"No secret to look for: {', '.join(empty) or 'secrets is empty'}.")
    return labelled


def _texts(captured: object) -> Iterator[str]:
    if isinstance(captured, str):
        yield captured
    elif isinstance(captured, (bytes, bytearray, memoryview)):
        yield bytes(captured).decode("utf-8", "replace")
    elif captured is None or isinstance(captured, (bool, int, float)):
        yield str(captured)
    elif isinstance(captured, Mapping):
        for key, value in captured.items():
            yield from _texts(key)
            yield from _texts(value)
    elif isinstance(captured, Iterable):
        for item in captured:
            yield from _texts(item)
    else:
        raise TypeError(f"captured has a {type(captured).__name__}; expected bytes, text, or collections of them.")


def _readings(text: str) -> Iterator[str]:
    """Yield the text, and the text after each decoding."""
    yield text
    if "%" in text or "+" in text:
        yield unquote(text)
        yield unquote_plus(text)
    if "\\" in text:
        unescaped = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
        yield _BACKSLASHES.sub(r"\1", unescaped)
        # JSON in JSON, level by level: each level doubles a backslash of the secret.
        for _ in range(_LEVELS):
            unescaped = _ONE_ESCAPE.sub(r"\1", unescaped)
            yield unescaped


def _parts(secret: str) -> list[str]:
    if len(secret) < _LONG or "@" in secret:
        return [secret]
    return [secret[: len(secret) // 2], secret[len(secret) // 2 :]]


def _shows(texts: list[str], readings: set[str], part: str) -> bool:
    forms = {form.lower() for form in (part, quote(part, safe=""), quote_plus(part), json.dumps(part)[1:-1])}
    if any(form in reading for reading in readings for form in forms):
        return True
    return any(form in text for text in texts for form in _in_base64(part))


def _in_base64(part: str) -> Iterator[str]:
    raw = part.encode("utf-8", "replace")
    if len(raw) < _SHORTEST_IN_BASE64:
        return
    # At each of the three offsets, without characters that depend on the bytes around the secret.
    for skip in range(3):
        aligned = raw[skip : skip + (len(raw) - skip) // 3 * 3]
        yield base64.b64encode(aligned).decode()
        yield base64.urlsafe_b64encode(aligned).decode()


__all__ = ["assert_no_secret", "surviving"]
