"""A text as rules read it: one byte for each character, so that every search is fast."""

from __future__ import annotations

import codecs
import re
from functools import cached_property
from typing import TypeAlias

from divan_obs_asgi.redaction.letters import LOOK_ALIKES
from divan_obs_asgi.redaction.scripts import with_stand_ins

# The place of a secret in a text, and the name for the marker.
Found: TypeAlias = tuple[int, int, str]

UNREAD = "unread"
"""The name for the rest of a text in which too many places look like a secret."""

GROUPING = b" -"
_ENCODED = re.compile(rb"%[0-9A-Fa-f]{2}")
CLASSES = bytes(48 if 48 <= code < 58 else 65 if 65 <= code < 91 else code for code in range(256))


# The cost of a place that a rule examines, in characters that a rule reads; measured and rounded up. And the cost of a
# separator of keys and values.
PLACE = 320
SEPARATOR = 8
# The cost of a percent sign, which may encode a character.
_ENCODED_COST = 12


class Budget:
    """
    Limits how much rules read of a text, or of all texts of one line, which bounds their time.

    Each rule that has to read a text counts its characters once, and more for each place that it examines. When the
    budget is used up, the current rule redacts the rest of its text as `UNREAD`. After that, a text in which any rule
    may find something is not read.

    Attributes:
        left: the remaining characters.
    """

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left

    def read(self, characters: int) -> bool:
        """Count characters; return whether anything was left for them."""
        left = self.left
        self.left = left - characters
        return left > 0

    def take(self, wanted: int, cost: int) -> int:
        """Return how many of `wanted` places may be examined, and count them; cheap places get half of the rest."""
        left = self.left if cost == PLACE else self.left // 2
        taken = max(0, min(wanted, left // cost))
        self.left -= taken * cost
        return taken


class View:
    """
    A text in the forms that several rules need.

    Attributes:
        raw: ASCII of the same length as the text, so positions are the same in both. A look-alike of an ASCII character
            is that character, a key of a secret in another script is its stand-in, any other letter or digit of another
            alphabet is "z", everything else is a space.
        lower: `raw` in lower case.
        numbers: `raw` with blanks in place of percent-encoded characters and plus signs, as in forms.
        classes: `numbers` with "0" for each digit and "A" for each capital, without blanks and dashes, so that what is
            grouped for people is one run; positions are others than in `raw`.
        encoded: whether there may be percent-encoded characters.
    """

    def __init__(self, text: str, budget: Budget | None = None) -> None:
        self.raw = text.encode() if text.isascii() else _as_ascii(text)
        self._budget = budget

    def takes(self, wanted: int = 1, cost: int = PLACE) -> int:
        """Return how many more places a rule may look at: as many as it wants, or as the budget has."""
        return wanted if self._budget is None else self._budget.take(wanted, cost)

    def reads(self, rules: int) -> bool:
        """Return whether so many rules may read the text, and count its characters."""
        if self._budget is None:
            return True
        return self._budget.read(len(self.raw) * rules + _ENCODED_COST * self.raw.count(b"%"))

    @cached_property
    def lower(self) -> bytes:
        return self.raw.lower()

    @cached_property
    def encoded(self) -> bool:
        return b"%" in self.raw

    @cached_property
    def numbers(self) -> bytes:
        text = _ENCODED.sub(b"   ", self.raw) if self.encoded else self.raw
        return text.replace(b"+", b" ")

    @cached_property
    def classes(self) -> bytes:
        return self.numbers.translate(CLASSES, GROUPING)


def _as_ascii(text: str) -> bytes:
    text = with_stand_ins(text)
    # If there are few foreign letters, a call for each run of them is fastest.
    if len(text.encode("utf-8", "surrogatepass")) < len(text) + _FEW:
        return text.encode("ascii", _HANDLER)
    return text.translate(_STAND_INS).encode("ascii", "replace")


class _StandIns(dict[int, str]):
    """For `str.translate`: caches the ASCII character that replaces each character."""

    def __missing__(self, code: int) -> str:
        char = chr(code) if code < 128 else chr(code).encode("ascii", _HANDLER).decode()
        if len(self) >= _MOST_STAND_INS:
            self.clear()
        self[code] = char
        return char


_FEW = 32
_MOST_STAND_INS = 8192
_STAND_INS = _StandIns()


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    foreign = error.object[error.start : error.end].translate(LOOK_ALIKES)
    if foreign.isascii():
        return foreign, error.end
    return "".join(char if char < "\x80" else "z" if char.isalnum() else " " for char in foreign), error.end


_HANDLER = "divan_obs_asgi.redaction.view"
codecs.register_error(_HANDLER, _stand_in)

__all__ = ["CLASSES", "GROUPING", "SEPARATOR", "UNREAD", "Budget", "Found", "View"]
