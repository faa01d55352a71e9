"""The extent of values in quotes and brackets."""

from __future__ import annotations

import re

from divan_obs_asgi.redaction.placeholders import is_placeholder, is_whole_placeholder

END_QUOTED = {
    b'"': re.compile(rb'(?:[^"\\]|\\.)*+', re.DOTALL),
    # SQL escapes a quote by doubling it.
    b"'": re.compile(rb"(?:[^'\\]|\\.|'')*+", re.DOTALL),
    b"`": re.compile(rb"[^`]*+"),
}
_BRACKETS = re.compile(rb"[\[\]{}()\"']")
CLOSING = {b"[": b"]", b"{": b"}", b"(": b")"}
_VALUE = re.compile(rb"(?:[bBuUrR]{1,2}(?=['\"]))?(?P<quote>\\{0,7}[\"'])?")
_ITEM = re.compile(rb"[^\s,()\[\]{}]+")
_MAX_BRACKETS = 64


class Ends(dict[bytes, tuple[int, int]]):
    """
    Cached positions in the text after the current place. Texts are read backwards, so no part is read twice.

    Attributes:
        brackets: for each opening bracket of a value, the end of the value.
        next_key: the beginning of the last sentence, and the position of the next key after it.
        blanks: for each end of a sentence, the beginning of the blanks before it.
        bare: the beginning of the key of the last bare value, and the end of the value: in `sid=pin=x` both keys have
            it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.brackets: dict[int, int] = {}
        self.next_key: tuple[int, int] | None = None
        self.blanks: dict[int, int] = {}
        self.bare = (-1, -1)


def run_at(pattern: re.Pattern[bytes], raw: bytes, begin: int, ends: Ends) -> tuple[int, int] | None:
    """Match a run. Texts are read backwards, so if it reaches the previous run, the rest is cached."""
    # The cache key is the source: a pattern computes its hash at each look-up, a bytes object only once.
    known, stop = ends.get(pattern.pattern) or (len(raw), len(raw))
    ahead = begin < known
    match = pattern.match(raw, begin, known if ahead else len(raw))
    if match is None:
        return None
    end = stop if ahead and match.end() == known else match.end()
    ends[pattern.pattern] = found = (begin, end)
    return found


def value_at(raw: bytes, begin: int, ends: Ends | None = None) -> tuple[int, int] | None:
    """Return the place of the Python or JSON value that begins here; None if it need not be hidden."""
    opening = _VALUE.match(raw, begin)
    assert opening is not None
    if opening["quote"]:
        return quoted(raw, opening.end(), opening["quote"])
    if is_placeholder(raw, begin, len(raw)):
        return None
    if raw[begin : begin + 1] in CLOSING:
        return begin, matching_bracket(raw, begin, ends)
    return _span(_ITEM.match(raw, begin))


def quoted(raw: bytes, begin: int, quote: bytes) -> tuple[int, int] | None:
    plain = END_QUOTED.get(quote)
    if plain is not None:
        match = plain.match(raw, begin)
        assert match is not None
        end = match.end()
    else:
        # Escaped quotes, as in JSON inside JSON, and encoded quotes: up to the next one of the same kind.
        end = raw.find(quote, begin)
    if end < 0:
        end = len(raw)
    return None if begin == end or is_whole_placeholder(raw, begin, end) else (begin, end)


def matching_bracket(raw: bytes, begin: int, ends: Ends | None = None) -> int:
    """Return the position after the bracket that closes the one at `begin`; the end of the text if there is none."""
    if ends is None:
        ends = Ends()
    ends.brackets[begin] = end = _end_of_bracket(raw, begin, ends)
    return end


def _end_of_bracket(raw: bytes, begin: int, ends: Ends) -> int:
    depth = 0
    position = begin
    for _ in range(_MAX_BRACKETS):
        match = _BRACKETS.search(raw, position)
        if match is None:
            return len(raw)
        char = match[0]
        position = ends.brackets.get(match.start(), 0)
        if position:
            continue
        position = match.end()
        if char in (b'"', b"'"):
            skipped = run_at(END_QUOTED[char], raw, position, ends)
            assert skipped is not None
            position = skipped[1] + 1
        elif char in CLOSING:
            depth += 1
        else:
            depth -= 1
            if depth == 0:
                return position
    return len(raw)


def _span(value: re.Match[bytes] | None) -> tuple[int, int] | None:
    return None if value is None else value.span()


__all__ = ["END_QUOTED", "Ends", "matching_bracket", "quoted", "run_at", "value_at"]
