"""Named secrets in texts: `password=...`, `"token": "..."`, `Cookie: ...`, `<secret>...</secret>`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from divan_obs_asgi.redaction.brackets import Ends
from divan_obs_asgi.redaction.keys import GLUED_WORDS, KeyIndex, KeyRule, split_words, words
from divan_obs_asgi.redaction.patterns import JOINT, any_of
from divan_obs_asgi.redaction.values import SENTENCES, Key, value_of
from divan_obs_asgi.redaction.view import SEPARATOR, UNREAD, Found, View

# Unifies the characters between key and value: separators become "=", and quotes, closing brackets and the
# stars of Markdown '"'.
_ALIKE = bytes.maketrans(b":>'\\`[]*\tABCDEFGHIJKLMNOPQRSTUVWXYZ", b'==""""""\x20abcdefghijklmnopqrstuvwxyz')
_ENCODED = (
    (b"%255b", b'"""""'),
    (b"%255d", b'"""""'),
    (b"%253d", b"    ="),
    (b"%253a", b"    ="),
    (b"%5b", b'"""'),
    (b"%5d", b'"""'),
    (b"%3d", b"  ="),
    (b"%3a", b"  ="),
    (b"%22", b'"""'),
    (b"%27", b'"""'),
    (b"%20", b"   "),
)
# Words that a key may add to its sensitive word: `password_2`, `token_value`, `secretRaw`.
_SUFFIXES = """
    value raw plain text str string data encrypted enc hash hex base64 b64 id new old confirm confirmation again
    bytes json pem no nr num number
"""
# `Authorization` and `Cookie` are headers, whose values have spaces and semicolons.
_TO_THE_END = words("cookie set-cookie set_cookie authorization proxy-authorization proxy_authorization")


class PairRule:
    """
    Finds values by the key before them, with the same index that redacts fields.

    Texts are read backwards: a separator is a literal, so the search is very fast, and then the last letters of the key
    decide whether it is sensitive.
    """

    # As many as in the cache of the index. A larger number means that data is used as keys.
    _MEMORY = 4096

    def __init__(self, index: KeyIndex, rules: Iterable[KeyRule]) -> None:
        self._index = index
        self._known: dict[bytes, Key | None] = {}
        rules = tuple(rules)
        endings = _endings(rules)
        self.sign = f"{key_sign(rules)}(?:[\"'`*\\\\\\[\\] \\t0-9]|%2[027]|%(?:25)?5[bd])*(?:-?[=:>]|%(?:25)?3[ad])"
        suffixes = any_of([suffix[::-1] for suffix in _SUFFIXES.split()])
        keys = any_of([JOINT.join(words)[::-1] for words in endings])
        # Nothing is given back between separator and key, so that a separator without a sensitive key costs little.
        self._keys = re.compile(
            f'=-?+ {{0,4}}+"{{0,12}}+(?P<key>(?:(?:{suffixes}|[0-9]{{1,3}})(?:[-_. ]|"{{1,5}})?)?'
            f"(?:{keys})[-_.a-z0-9]{{0,48}})".encode()
        )

    def find(self, view: View) -> Iterable[Found]:
        """Return the values of sensitive keys."""
        alike = view.raw
        if view.encoded:
            alike = view.lower
            for code, char in _ENCODED:
                alike = alike.replace(code, char)
        backwards = alike.translate(_ALIKE)[::-1]
        matches = self._keys.finditer(backwards)
        first = next(matches, None)
        if first is None:
            return ()
        skipped = 0
        # At most half of the rest, so that some places can be examined.
        wanted = backwards.count(b"=")
        read = view.takes(wanted, SEPARATOR)
        if read < wanted:
            skipped = len(backwards.rsplit(b"=", read)[0]) + 1
            places = list(self._keys.finditer(backwards, skipped))
        else:
            places = [first, *matches]
        # With a budget, the first places of the text are examined. They are the last ones here.
        unread = len(places) - view.takes(len(places))
        return self._values(view.raw, places, unread, skipped)

    def _values(self, raw: bytes, places: list[re.Match[bytes]], unread: int, skipped: int) -> Iterator[Found]:
        size = len(raw)
        ends = Ends()
        known = self._known
        if unread:
            yield size - places[unread - 1].start(), size, UNREAD
        elif skipped:
            yield size - skipped, size, UNREAD
        for match in places[unread:] if unread else places:
            begins, ends_at = match.span("key")
            start, key_start, key_end = size - match.start(), size - ends_at, size - begins
            text = raw[key_start:key_end]
            key = known.get(text) or self._key_of(text)
            # A marker before a separator is not a key.
            if key is None or (raw[key_start - 1] == 58 and raw[key_start - 10 : key_start] == b"[redacted:"):
                continue
            place = value_of(raw, start, key_start, key, key.glues and key_end == start - 1, ends)
            if place is not None:
                yield *place, key.rule

    def _key_of(self, text: bytes) -> Key | None:
        try:
            return self._known[text]
        except KeyError:
            pass
        name, key = self._index.rule_for(text.decode()), None
        if name is not None:
            header = text.decode().lower() in _TO_THE_END
            glues = not header and name not in SENTENCES and b" " not in text
            key = Key(name, header, glues, (split_words(text.decode()) or ("",))[-1])
        if len(self._known) < self._MEMORY:
            self._known[text] = key
        return key


def key_sign(rules: Iterable[KeyRule]) -> str:
    """Return an RE2 pattern for the end of each key that may be sensitive."""
    joint = "(?:[-_. \\t]|%20)?"
    ends = "|".join(sorted(joint.join(map(re.escape, words)) for words in _endings(rules)))
    return f"(?i)(?:{ends})(?:{joint}(?:{'|'.join(_SUFFIXES.split())}|[0-9]{{1,3}}))?"


def _endings(rules: Iterable[KeyRule]) -> set[tuple[str, ...]]:
    """Return the words at the end of keys that one of the rules may match."""
    endings = {tuple(phrase.split()) for rule in rules for phrase in rule.words | rule.last | rule.exact}
    if any(rule.glued for rule in rules):
        endings |= {(word,) for word in GLUED_WORDS}
    return endings


__all__ = ["PairRule", "key_sign"]
