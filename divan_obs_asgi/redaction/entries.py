"""Secrets in entries of a name and a value: `('password', '...')`, `["x-auth-token", "..."]`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from divan_obs_asgi.redaction.brackets import value_at
from divan_obs_asgi.redaction.keys import KeyIndex, KeyRule
from divan_obs_asgi.redaction.pairs import key_sign
from divan_obs_asgi.redaction.view import UNREAD, Found, View

# An ASGI header, an item of a form, and the notation of lists of both. A list of two items is a pair only inside
# another list, because a list of two names is as common.
_PAIR = re.compile(
    rb"""
    (?:\(|(?P<list>\[)|\b(?P<name>name|key|header|field)\\{0,7}['"]?\s?[:=]\s?)\s?
    [bBuU]?(?P<quote>\\{0,7}['"])(?P<key>[\w\ .$%-]{1,64}(?:\[\d{0,3}\])?)(?P=quote)\s?,\s{0,16}
    (?(name)\\{0,7}['"]?value\\{0,7}['"]?\s?[:=]\s?)
    """,
    re.VERBOSE,
)
_AMONG_LISTS = re.compile(rb"[\[,]\s{0,16}\Z")
_PAIR_ENDS = re.compile(rb"\\{0,7}['\"]?\s?,?\s?(?:[)\]]|\Z)")
# In a list of names and values, the value must look like a secret: ['password', 'address1'] are two names.
_OPAQUE = re.compile(
    r"(?=[^\s]*\d)(?:[^\s]*(?:[A-Za-z]\d+[a-z]|[A-Z][^\s]*[a-z]|[a-z][^\s]*[A-Z]|[!#$%^&*+=/~@])|[0-9a-f]{12,}\Z)|[^\s_]{24,}"
)
_WITH_DIGIT = re.compile(r"[^\s]{3,}\d|\d[^\s]{3,}")
_ITEMS = re.compile(
    rb"""
    (?:[(\[{,=]|\A|;)\s{0,8}(?:s:\d{1,3}:|<<)?
    (?:[bBuU]?(?P<quote>\\{0,7}['"])(?P<key>[\w\ .$%-]{2,64})(?P=quote)|(?:first=|key=)?(?P<bare>[A-Za-z][\w.-]{1,63}))
    (?:>>|\))?\s{0,4}(?:,|;s:\d{1,5}:|\s\.\s)\s{0,8}(?:<<|[A-Za-z_][\w.:]{0,63}\()?
    (?:[bu]?(?P<opens>\\{0,7}['"])(?P<value>[^\s'"\\]{4,256})(?P=opens)
    |(?:second=|value=)?(?P<word>(?(bare)[^\s'"\\,()\[\]{}]{4,256}|(?!)))(?=\s?[)\]}]))
    """,
    re.VERBOSE,
)
# Lisp and Clojure: (:password "...")
_KEYWORD = re.compile(rb"(?<![\w:]):(?P<key>[A-Za-z][\w.-]{1,63}) \\{0,7}\"(?P<value>[^\"\\]{1,1024})")


def is_value_of(name: str, value: str) -> bool:
    """Return whether, of two items of a list, the second may be the value of the first, and not a second name."""
    if "-" in name:  # The name of a header.
        return _WITH_DIGIT.match(value[:256]) is not None or _OPAQUE.match(value[:256]) is not None
    return _OPAQUE.match(value[:256]) is not None


class EntryRule:
    """Finds values in entries of key and value: `('password', '...')`."""

    def __init__(self, index: KeyIndex, rules: Iterable[KeyRule]) -> None:
        self._index = index
        self.sign = (
            key_sign(rules)
            + r"(?:(?:\[\d*\])?\\*[\"']?\)?\s?(?:,|>>,)|\\*[\"'](?:;s:|\s\.\s))|(?:^|[\s(]):[A-Za-z][\w.-]* \\*\""
        )

    def find(self, view: View) -> Iterator[Found]:
        """Return the values of sensitive keys."""
        raw, at = view.raw, 0
        while (match := _PAIR.search(raw, at)) is not None:
            start, at = match.start(), match.end()
            if not view.takes():
                yield at, len(raw), UNREAD
                return
            name = self._index.rule_for(match["key"].decode())
            alone = match["list"] is not None and not _AMONG_LISTS.search(raw, max(0, start - 17), start)
            value = None if name is None or alone else value_at(raw, at)
            if name is None or value is None or (match["name"] is None and not _PAIR_ENDS.match(raw, value[1])):
                continue
            at = max(at, value[1])
            yield *value, name
        yield from self._of_lists(view)
        for match in _KEYWORD.finditer(raw):
            if not view.takes():
                yield match.start("value"), len(raw), UNREAD
                return
            key_rule = self._index.rule_for(match["key"].decode())
            if key_rule is not None and not match["value"].startswith(b"[redacted:"):
                yield *match.span("value"), key_rule

    def _of_lists(self, view: View) -> Iterator[Found]:
        raw, at = view.raw, 0
        while (match := _ITEMS.search(raw, at)) is not None:
            # The second item may be the name of a third one.
            group = "value" if match["value"] is not None else "word"
            at = max(match.start() + 1, match.start("opens") - 8 if group == "value" else match.start(group) - 1)
            if not view.takes():
                yield match.start(group), len(raw), UNREAD
                return
            key = (match["key"] or match["bare"]).decode()
            value = match[group].decode()
            if is_value_of(key, value) and not value.startswith("[redacted:") and (name := self._index.rule_for(key)):
                yield *match.span(group), name


__all__ = ["EntryRule", "is_value_of"]
