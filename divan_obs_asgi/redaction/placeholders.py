"""Values that are not secrets: placeholders, code, types, results of a check."""

from __future__ import annotations

import re

from divan_obs_asgi.redaction.keys import words

# Values that are not secrets: placeholders, code, types, results of a check.
_NO_SECRET = re.compile(
    rb"""
    \[(?:redacted:[\w -]{1,64}|cut:[\w -]{1,32})\]|\*+|\.{3}|-+|
    \{\{?\s?[\w.]*\s?\}?\}|\$\{?[\w.]+\}?|%[(\w).-]*[sdr]|<[\w .-]*>?|\#\{\w+\}|
    \((?:sensitive\ value|sensitive|known\ after\ apply)\)|
    (?:self|cls|excluded|EXCLUDED|settings|config|conf|cfg|os|env|environ|args|opts|options|request|process\.env)\.[\w.]+
    """,
    re.VERBOSE | re.DOTALL,
)
# First characters of such values that are not letters, and other characters with a meaning of their own there.
NO_SECRET_BEGINS = b"[*.-{$%<#("
WORD = re.compile(rb"[A-Za-z/]+(?:-[a-z]+)?")
NO_SECRETS = frozenset(
    word.encode()
    for word in words(
        """
    a absent accepted an and anonymous any await bad basic bearer bool bytes can cannot changed cls created default
    deleted denied dict disabled does empty enabled error expired failed failure false filtered found has hidden ignored
    incorrect int invalid is issued ko list malformed masked mismatch missing must n/a nan nil no no-store none not null
    number object off ok on optional or present redacted refused rejected removed required reset revoked rotated scheme
    self granted login pending pinned succeeded successful
    plain set should skipped str string the too true unpinned unset undefined unexpected
    unknown unsupported updated used valid verified
    was will wrong yes
        """
    )
)
_MASK = re.compile(rb"[xX]{3,}")
_DELIMITERS = b" \t\r\n,)]}&\"'<|`"
SECRET_LOOK = re.compile(rb"[^\s]*[\d_!#$%^&*+/=~-]|[a-z]+[A-Z]|[^\s]{20}")


def is_placeholder(raw: bytes, begin: int, end: int) -> bool:
    """Return whether the value is a word of a sentence or a placeholder and not a secret."""
    stop = _end_of_placeholder(raw, begin, end)
    if stop in (0, end):
        return stop > 0
    # "expired." ends a sentence, "no.7f3c" does not.
    return raw[stop] in _DELIMITERS or (
        raw[stop] in b".!?;" and raw[stop + 1 : stop + 2] in (b"", b" ", b"\n", b'"', b"'")
    )


def is_whole_placeholder(raw: bytes, begin: int, end: int) -> bool:
    return _end_of_placeholder(raw, begin, end) == end


def unless_placeholder(raw: bytes, value: tuple[int, int] | None) -> tuple[int, int] | None:
    return None if value is None or is_placeholder(raw, *value) else value


def _end_of_placeholder(raw: bytes, begin: int, end: int) -> int:
    word = WORD.match(raw, begin, end)
    if word is not None:
        text, stop = word[0], word.end()
        if text.lower() in NO_SECRETS:
            return stop
        if raw[stop : stop + 1] != b".":
            return stop if text[0] in b"xX" and _MASK.fullmatch(text) else 0
    elif begin == end or raw[begin] not in NO_SECRET_BEGINS:
        return 0
    other = _NO_SECRET.match(raw, begin, end)
    return other.end() if other is not None else 0


__all__ = [
    "NO_SECRETS",
    "NO_SECRET_BEGINS",
    "SECRET_LOOK",
    "WORD",
    "is_placeholder",
    "is_whole_placeholder",
    "unless_placeholder",
]
