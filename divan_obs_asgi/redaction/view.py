"""A text as the detectors see it: one byte for each character, so that every scan is a fast one."""

from __future__ import annotations

import codecs
import re
from functools import cached_property
from typing import TypeAlias

from divan_obs_asgi.redaction.letters import LOOK_ALIKES

# Where a secret stands in a text, and what the marker calls it.
Found: TypeAlias = tuple[int, int, str]

UNREAD = "unread"
"""What a rule calls the rest of a text in which too many places look like a secret."""

GROUPING = b" -"
_ENCODED = re.compile(rb"%[0-9A-Fa-f]{2}")
CLASSES = bytes(48 if 48 <= code < 58 else 65 if 65 <= code < 91 else code for code in range(256))


class Places:
    """
    How many places of a text, or of all texts of one value, rules may look at: each may cost microseconds.

    A text that holds more is not read to its end: the rule that finds none left redacts the rest as `UNREAD`.
    """

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, wanted: int) -> int:
        """Return how many of `wanted` places are left, and count them."""
        taken = min(wanted, self.left)
        self.left -= taken
        return taken


class View:
    """
    A text, and what several detectors need of it.

    Attributes:
        raw: ASCII, as long as the text, so that a position in one is a position in the other. What looks like a
            character of ASCII is that character, any other letter or digit of another alphabet "z", the rest a space.
        lower: `raw` in lower case.
        numbers: `raw` with blanks for percent-encoded characters and plus signs, where forms have them.
        classes: `numbers` with "0" for each digit and "A" for each capital, without blanks and dashes, so that what is
            grouped for people is one run; positions are others than in `raw`.
        encoded: whether there may be percent-encoded characters.
    """

    def __init__(self, text: str, places: Places | None = None) -> None:
        self.raw = text.encode("ascii", _HANDLER)
        self._places = places

    def takes(self, wanted: int = 1) -> int:
        """Return how many more places a rule may look at: as many as it wants, or what is left of `Places`."""
        return wanted if self._places is None else self._places.take(wanted)

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


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    foreign = error.object[error.start : error.end].translate(LOOK_ALIKES)
    if foreign.isascii():
        return foreign, error.end
    return "".join(char if char < "\x80" else "z" if char.isalnum() else " " for char in foreign), error.end


_HANDLER = "divan_obs_asgi.redaction.view"
codecs.register_error(_HANDLER, _stand_in)

__all__ = ["CLASSES", "GROUPING", "UNREAD", "Found", "Places", "View"]
