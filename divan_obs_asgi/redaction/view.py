"""A text as the detectors see it: one byte for each character, so that every scan is a fast one."""

from __future__ import annotations

import codecs
from typing import TypeAlias

# Where a secret stands in a text, and what the marker calls it.
Found: TypeAlias = tuple[int, int, str]

GROUPING = b" -"
CLASSES = bytes(48 if 48 <= code < 58 else 65 if 65 <= code < 91 else code for code in range(256))


class View:
    """
    A text, and what several detectors need of it.

    Attributes:
        raw: ASCII, as long as the text, so that a position in one is a position in the other. A letter or digit of
            another alphabet is "z", anything else that is not ASCII a space.
        lower: `raw` in lower case.
        classes: `raw` with "0" for each digit and "A" for each capital, without blanks and dashes, so that what is
            grouped for people is one run; positions are others than in `raw`.
        encoded: whether there may be percent-encoded characters.
    """

    __slots__ = ("classes", "encoded", "lower", "raw")

    def __init__(self, text: str) -> None:
        self.raw = text.encode("ascii", _HANDLER)
        self.lower = self.raw.lower()
        self.classes = self.raw.translate(CLASSES, GROUPING)
        self.encoded = b"%" in self.raw


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    foreign = error.object[error.start : error.end]
    if foreign.isalnum():
        return "z" * len(foreign), error.end
    return "".join("z" if char.isalnum() else " " for char in foreign), error.end


_HANDLER = "divan_obs_asgi.redaction.view"
codecs.register_error(_HANDLER, _stand_in)

__all__ = ["CLASSES", "GROUPING", "Found", "View"]
