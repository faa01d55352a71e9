"""National ids with a valid check digit, and numbers with a word beside them that names them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import re2

from divan_obs_asgi.redaction.harmless import is_measure, last_word
from divan_obs_asgi.redaction.languages import NATIONAL_ID
from divan_obs_asgi.redaction.view import UNREAD, Found, View

# A phone number in groups. Its digits without the groups are compared with the forms of a country.
_DIALLED = rb"\(?[0-9](?:[ ./()-]{0,2}[0-9]){6,13}"
_SEPARATORS = b" ./()-"
_BEFORE = rb"(?<!\w-)(?<![\w.])"
_AFTER = rb"(?![\w@]|[.,:/-][0-9])"
# Characters between a number and its word, and the length of the longest number.
_GAP = 20
_LONGEST = 28
_DIGIT = re.compile(rb"[0-9]")
# Numbers of something else, whatever they look like.
_OTHER = frozenset(
    rb"""
    order orders invoice offset seq sequence build ticket job batch row rows line lines ns cursor revision rev pid tid
    epoch timestamp ts chunk block port position bytes byte length version siparis fatura
    """.split()
)
_NAMED_COST = 320


def _valid(text: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Shape:
    """A pattern for an id, and its check without separators."""

    pattern: str
    valid: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Named:
    """
    Numbers that a word beside them names.

    Attributes:
        rule: the name for the marker.
        words: the words, in lower case; "_" is a blank or a dash.
        pattern: a pattern for the number; for phones, of its digits alone.
        valid: checks the number without separators.
    """

    rule: str
    words: frozenset[str]
    pattern: str
    valid: Callable[[str], bool] = _valid


class _Compiled(NamedTuple):
    """A kind of number: what is searched for after its word and before it, and the form of the number itself."""

    named: Named
    after: re.Pattern[bytes]
    before: re.Pattern[bytes]
    form: re.Pattern[str]


class NationalIds:
    """Finds ids by their form, if their check digits are valid."""

    def __init__(self, shapes: Iterable[Shape]) -> None:
        shapes = tuple(shapes)
        whole = "|".join(shape.pattern for shape in shapes)
        self.sign = rf"\b(?:{whole})\b"
        # RE2 finds candidates ten times as fast as `re`, which knows what stands beside them.
        self._candidates = re2.compile(self.sign.encode())
        self._search = re.compile(_BEFORE + b"(?:" + whole.encode() + b")" + _AFTER)
        self._each = [(re.compile(shape.pattern), shape.valid) for shape in shapes]

    def find(self, view: View) -> Iterator[Found]:
        """Return the ids of the text."""
        raw = view.raw
        for candidate in self._candidates.finditer(raw):
            match = self._search.match(raw, candidate.start())
            if match is None:
                continue
            if not view.takes():
                yield match.start(), len(raw), UNREAD
                return
            text = match[0].decode()
            for pattern, valid in self._each:
                if pattern.fullmatch(text) and valid(_compact(text)) and not _is_other(raw, *match.span()):
                    yield *match.span(), NATIONAL_ID
                    break


class NamedNumbers:
    """Finds numbers before or after a word that names them: national phone numbers, and ids that are too short."""

    def __init__(self, named: Iterable[Named]) -> None:
        named = tuple(named)
        words = sorted({word for each in named for word in each.words})
        sign = rf"(?:\b|_)({'|'.join(map(_sign, words))})(?:\b|[_0-9])"
        self.sign = f"(?i){sign}"
        # RE2 reads a text without any of the words ten times as fast as `re`.
        self._word = re2.compile(sign.encode())
        self._by_word: dict[bytes, list[_Compiled]] = {}
        for each in named:
            number = _DIALLED if each.rule != NATIONAL_ID else each.pattern.encode()
            after = re.compile(rb"[^0-9\n]{0,%d}?%s(?P<n>%s)%s" % (_GAP, _BEFORE, number, _AFTER))
            before = re.compile(rb"%s(?P<n>%s)(?!\w)[^0-9\n]{0,12}\Z" % (_BEFORE, number))
            compiled = _Compiled(each, after, before, re.compile(each.pattern))
            for word in each.words:
                self._by_word.setdefault(word.replace("_", " ").encode(), []).append(compiled)

    def find(self, view: View) -> Iterator[Found]:
        """Return the numbers of the text."""
        raw = view.numbers
        upper = b""
        for match in self._word.finditer(view.lower):
            start, end = match.span(1)
            near_after = _DIGIT.search(raw, end, end + _GAP + 8)
            near_before = _DIGIT.search(raw, max(0, start - 12), start)
            if near_after is None and near_before is None:
                continue
            if not view.takes(1, _NAMED_COST):
                yield start, len(raw), UNREAD
                return
            if not upper:
                upper = raw.upper()
            word = match[1].replace(b"_", b" ").replace(b"-", b" ")
            for each, after, before, forms in self._by_word.get(word) or self._by_word.get(match[1]) or ():
                number = after.match(upper, end, end + _GAP + _LONGEST) if near_after else None
                if number is None and near_before:
                    number = before.search(upper, max(0, start - 12 - _LONGEST), start)
                if number is not None and _is_named(each, forms, number["n"]) and not _is_other(raw, *number.span("n")):
                    yield *number.span("n"), each.rule
                    break


def _sign(word: str) -> str:
    return re.escape(word).replace("_", "[ _-]")


def _is_named(each: Named, forms: re.Pattern[str], number: bytes) -> bool:
    if each.rule == NATIONAL_ID:
        return each.valid(_compact(number.decode()))
    return forms.fullmatch(number.translate(None, _SEPARATORS).decode()) is not None


def _compact(text: str) -> str:
    """Return an id without separators; a sign in place of a century stays."""
    return text.translate(_NO_SEPARATORS).upper()


_NO_SEPARATORS = str.maketrans("", "", " ./+-")


def _is_other(raw: bytes, begin: int, end: int) -> bool:
    """Return whether a word or a unit says that a number is something else."""
    return last_word(raw, begin) in _OTHER or is_measure(raw, begin, end)


__all__ = ["Named", "NamedNumbers", "NationalIds", "Shape"]
