"""Finds the secrets in a text with all rules, and replaces them together."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Protocol

from divan_obs_asgi.redaction.entries import EntryRule
from divan_obs_asgi.redaction.forms import FormRule
from divan_obs_asgi.redaction.keys import KeyIndex, KeyRule
from divan_obs_asgi.redaction.letters import DISGUISE_SIGN, UNSEEN, plain
from divan_obs_asgi.redaction.mentions import MentionRule
from divan_obs_asgi.redaction.pairs import PairRule
from divan_obs_asgi.redaction.prefilter import Prefilter
from divan_obs_asgi.redaction.rows import RowRule
from divan_obs_asgi.redaction.siblings import SiblingRule
from divan_obs_asgi.redaction.tokens import TokenRule, TokenShape
from divan_obs_asgi.redaction.view import UNREAD, Budget, Found, View

MARKER = re.compile(r"\[redacted:[a-z0-9_ -]{1,64}\]")

# In JSON the marker for a bare number, array or object must be a string. Quotes may be escaped themselves.
_AFTER_KEY = re.compile(r"(\\{0,7}\")\s{0,4}:\s{0,4}\Z")

_BEFORE_VALUE = frozenset(": [,")
_IN_ARRAY = re.compile(r"[\[,]\s{0,3}\Z")
_NEXT = re.compile(r"\s{0,3}[\],]")
# Text directly next to a secret may be a secret too, once it stands alone. More passes than this indicate an attack.
_PASSES = 3
# The cost of each character of a text that is not ASCII: it is translated, and searched for invisible characters.
_FOREIGN = 4
# The cost of an escape, which is replaced by its letter.
_ESCAPE = 32
_GLUE = frozenset("+=:%/_-~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def marker(rule: str) -> str:
    """Return the marker that replaces a secret: it names the rule, never the secret."""
    return f"[redacted:{rule}]"


# The marker for a known id that is a credential (`RequestRecord.hidden`).
HIDDEN = marker("session")


class Finder(Protocol):
    """A rule that finds secrets in a text: `TextRule`, `TokenRule`, `PairRule`."""

    @property
    def sign(self) -> str | None: ...

    def find(self, view: View, /) -> Iterable[Found]: ...


class TextRules:
    """The compiled rules for texts; several policies may share them."""

    def __init__(
        self,
        keys: KeyIndex,
        key_rules: Iterable[KeyRule],
        shapes: Iterable[TokenShape],
        text_rules: Iterable[Finder],
    ) -> None:
        key_rules, shapes = tuple(key_rules), tuple(shapes)
        rules: list[Finder] = list(text_rules)
        if shapes:
            rules.insert(0, TokenRule(shapes))
        if key_rules:
            rules[:0] = [
                PairRule(keys, key_rules),
                EntryRule(keys, key_rules),
                FormRule(keys),
                SiblingRule(keys),
                RowRule(keys),
                MentionRule(keys, key_rules),
            ]
        self._finders = [rule.find for rule in rules]
        self._prefilter = Prefilter([*(rule.sign for rule in rules), DISGUISE_SIGN])

    def found(self, view: View) -> tuple[list[Found], bool]:
        """Return all places that rules find, and whether letters of the text may be escaped."""
        found: list[Found] = []
        needed = self._prefilter.needed(view.raw)
        if needed and not view.reads(len(needed)):
            return [(0, len(view.raw), UNREAD)], False
        disguised = bool(needed) and needed[-1] == len(self._finders)
        for rule in needed[:-1] if disguised else needed:
            found += self._finders[rule](view)
        return found, disguised


class TextRedactor:
    """Replaces the secrets that the rules find in a text."""

    def __init__(self, rules: TextRules, count: Callable[[str], object]) -> None:
        self._rules = rules
        self._count = count

    def counting(self, count: Callable[[str], object]) -> TextRedactor:
        """Return a redactor with the same rules and another counter."""
        return TextRedactor(self._rules, count)

    def replaced(self, text: str, until: int | None = None, budget: Budget | None = None, since: int = 0) -> str:
        """
        Return `text` with markers in place of secrets; the same object if there are none.

        Args:
            until: text from this position on is left out.
            budget: the budget; None to read everything.
            since: text before this position is left out.
        """
        foreign = not text.isascii()
        if foreign and budget is not None and not budget.read(_FOREIGN * len(text)):
            self._count(UNREAD)
            return marker(UNREAD)
        found, disguised = self._rules.found(View(text, budget))
        if disguised or (foreign and UNSEEN.search(text)):
            escapes = text.count("%") + text.count("\\") + text.count("&#")
            if budget is not None and not budget.read(_ESCAPE * escapes + _FOREIGN * len(text)):
                self._count(UNREAD)
                return marker(UNREAD)
            bare = plain(text)
            if bare is not text and (read := self._rules.found(View(bare, budget))[0]):
                # The result has the decoded key of a disguised one.
                until = None if until is None else max(0, until - len(text) + len(bare))
                text, found = bare, read
        for number in range(_PASSES):
            if number:
                found, _ = self._rules.found(View(text, budget))
            if not found:
                return text if until is None and not since else text[since:until]
            text, touching = self._with_markers(text, found, until, since)
            until, since = None, 0
            if not touching:
                break
        return text

    def ends_in_secret(self, text: str, cut: str) -> bool:
        """Return whether rules find a secret at the very end of `text` when `cut` follows it."""
        found, _ = self._rules.found(View(text + cut))
        return any(stop >= len(text) for _, stop, _ in found)

    def _with_markers(self, text: str, found: list[Found], until: int | None, since: int) -> tuple[str, bool]:
        """Return the text with markers, and whether one of them is directly next to a word."""
        touching = False
        found.sort()
        last = len(text) if until is None else until
        pieces: list[str] = []
        copied = since
        for start, stop, name in found:
            if start >= last:
                break
            if stop <= since:
                continue
            if start < since == copied:
                pieces.append(f"[redacted:{name}]")
                self._count(name)
                copied = stop
                continue
            if start < copied:
                # Two rules find the same secret. The first one names it, and both places are hidden.
                copied = max(copied, stop)
                continue
            pieces.append(text[copied:start])
            before = text[start - 1 : start]
            quote = _quote_for(text, start, stop) if before in _BEFORE_VALUE else ""
            pieces.append(f"{quote}[redacted:{name}]{quote}")
            self._count(name)
            copied = stop
            touching = touching or before.isalnum() or text[stop : stop + 1] in _GLUE
        pieces.append(text[copied:last])
        return "".join(pieces), touching


def _quote_for(text: str, start: int, stop: int) -> str:
    if text[start] in "-0123456789" and _IN_ARRAY.search(text, max(0, start - 4), start) and _NEXT.match(text, stop):
        return '"'
    if text.rfind('"', max(0, start - 16), start) < 0:
        return ""
    after_key = _AFTER_KEY.search(text, max(0, start - 16), start)
    return after_key[1] if after_key is not None else ""


__all__ = ["HIDDEN", "MARKER", "Finder", "TextRedactor", "TextRules", "marker"]
