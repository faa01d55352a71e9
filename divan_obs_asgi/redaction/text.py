"""Secrets in a text: found by all rules, and replaced in one go."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from divan_obs_asgi.redaction.keys import KeyIndex, KeyRule
from divan_obs_asgi.redaction.pairs import PairRule
from divan_obs_asgi.redaction.tokens import TokenRule, TokenShape
from divan_obs_asgi.redaction.view import Found, View

MARKER = re.compile(r"\[redacted:[a-z0-9_ -]{1,64}\]")

# Where a bare number, array or object stands in JSON, its marker has to be a string; quotes may be escaped themselves.
_AFTER_KEY = re.compile(r"(\\{0,7}\")\s{0,4}:\s{0,4}\Z")

_BEFORE_VALUE = frozenset(": [")


def marker(rule: str) -> str:
    """Return what stands in the place of a secret: it names the rule, and never the secret."""
    return f"[redacted:{rule}]"


class TextRedactor:
    """Replaces what the rules find in a text."""

    def __init__(
        self,
        keys: KeyIndex,
        key_rules: Iterable[KeyRule],
        shapes: Iterable[TokenShape],
        finders: Iterable[Callable[[View], Iterable[Found]]],
        count: Callable[[str], object],
    ) -> None:
        key_rules, shapes = tuple(key_rules), tuple(shapes)
        self._finders = (
            *((PairRule(keys, key_rules).find,) if key_rules else ()),
            *((TokenRule(shapes).find,) if shapes else ()),
            *finders,
        )
        self._count = count

    def replaced(self, text: str, until: int | None = None) -> str:
        """
        Return `text` with markers in the place of secrets; the very same object where there is none.

        Args:
            until: what begins after this position is left out.
        """
        view = View(text)
        found: list[Found] = []
        for find in self._finders:
            found += find(view)
        if found:
            return self._with_markers(text, found, until)
        return text if until is None else text[:until]

    def _with_markers(self, text: str, found: list[Found], until: int | None) -> str:
        found.sort()
        last = len(text) if until is None else until
        pieces: list[str] = []
        copied = 0
        for start, stop, name in found:
            if start >= last:
                break
            if start < copied:
                # Two rules see one secret: the first names it, and both are hidden.
                copied = max(copied, stop)
                continue
            pieces.append(text[copied:start])
            quote = _quote_for(text, start, stop) if text[start - 1 : start] in _BEFORE_VALUE else ""
            pieces.append(f"{quote}[redacted:{name}]{quote}")
            self._count(name)
            copied = stop
        pieces.append(text[copied:last])
        return "".join(pieces)


def _quote_for(text: str, start: int, stop: int) -> str:
    if text[start - 1 : start] == "[" and text[stop : stop + 1] == "]":
        return '"'
    after_key = _AFTER_KEY.search(text, max(0, start - 16), start)
    return after_key[1] if after_key is not None else ""


__all__ = ["MARKER", "TextRedactor", "marker"]
