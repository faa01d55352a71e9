"""W3C Baggage: reading `baggage`. Needs no tracing library."""

from __future__ import annotations

import re
from urllib.parse import unquote

# Section 3.2: a token, and characters without space, quotes, comma, semicolon and backslash.
_MEMBER = re.compile(
    r"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,256})[ \t]*=[ \t]*([\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*)[ \t]*(?:;.*)?"
)
# Section 3.3.2.
_MEMBERS = 64
_LENGTH = 8192


def parse(values: list[bytes]) -> dict[str, str]:
    """
    Return the well-formed members of all `baggage` headers, without their properties.

    The SDK's propagator writes a warning with the client's text for each malformed one.
    """
    text = ",".join(value.decode("latin-1") for value in values)
    if len(text) > _LENGTH:
        return {}
    found: dict[str, str] = {}
    for part in text.split(","):
        match = _MEMBER.fullmatch(part.strip(" \t"))
        if match is not None and len(found) < _MEMBERS:
            found[match[1]] = unquote(match[2], errors="replace")
    return found


__all__ = ["parse"]
