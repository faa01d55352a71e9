"""Values below their keys, as in YAML and in folded headers."""

from __future__ import annotations

import re

from divan_obs_asgi.redaction.placeholders import SECRET_LOOK, is_placeholder

# A key at the beginning of a line, after blanks and the dash of a list.
_LINE_START = re.compile(rb"(?:\A|\n|\\n)(?P<indent>[ \t]{0,32}(?:- )?)[\"']?\Z")
_REST = re.compile(rb"(?:[^\r\n\\]|\\(?![rn])){0,1024}")
_NEXT_LINE = re.compile(rb"(?:\r?\n|(?:\\r)?\\n)(?P<indent>[ \t]{1,32})(?=[^\s])")
_MAX_LINES = 16
# Another key below this one, a frame of a traceback, or its marks.
_CODE = re.compile(rb"[\w.\"'-]{1,64}:(?:\s|\Z)|File \"|[~^]{2}|(?:return|raise|if|for|await|with|try|pass)\b")
_ALONE = re.compile(rb"[^\s=:]{1,256}(?=[ \t]*(?:\r?\n|\Z))")


def below(raw: bytes, key_start: int, begin: int, *, block: bool = False) -> tuple[int, int] | None:
    """Return the place of a value below its key, as in YAML and folded headers (RFC 9112, section 5.2)."""
    before = _LINE_START.search(raw, max(0, key_start - 40), key_start)
    column = len(raw[max(0, begin - 33) : begin]) - len(raw[max(0, begin - 33) : begin].rstrip(b" \t"))
    if raw.startswith(b"- ", begin):
        begin += 2
    if before is None or (not block and (_CODE.match(raw, begin) or is_placeholder(raw, begin, len(raw)))):
        return None
    own = len(before["indent"])
    if column <= own:
        word = _ALONE.match(raw, begin)
        return word.span() if word is not None and SECRET_LOOK.match(raw, *word.span()) else None
    end = _REST.match(raw, begin).end()  # type: ignore[union-attr]
    for _ in range(_MAX_LINES):
        following = _NEXT_LINE.match(raw, end)
        if following is None or len(following["indent"]) <= own or (not block and _CODE.match(raw, following.end())):
            break
        end = _REST.match(raw, following.end()).end()  # type: ignore[union-attr]
    return begin, end


__all__ = ["below"]
