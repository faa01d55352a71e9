"""W3C Trace Context, level 2, section 3.3: reading `tracestate`. Needs no tracing library."""

from __future__ import annotations

import re

# Section 3.3.2, "Key" and "Value": in level 2 a key may have "@" wherever it does not begin.
_MEMBER = re.compile(
    r"([a-z0-9][a-z0-9_*/@-]{0,255})=([\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e])"
)
MEMBERS = 32
# The longest list of 32 members has 16,447 characters; more than this is whitespace and commas, and is not read.
_READ = 32_768
# Section 3.3.3.1 asks for 512 characters at least; more than this is not worth carrying around.
_CARRIED = 8192
# Entries that are longer leave first where the list is too long (section 3.3.3.1).
_LONG = 128


def parse(values: list[bytes]) -> dict[str, str]:
    """
    Return the members of all `tracestate` headers, in their order; none where one is malformed.

    What is not of the grammar, or has more members than a list may have, is no list, and no part of it is used. A key
    that is there twice is: the left-most is the latest position of its vendor, and any duplicate may be discarded
    (section 3.5).
    """
    text = ",".join(value.decode("latin-1") for value in values)
    if len(text) > _READ:
        return {}
    members: dict[str, str] = {}
    count = 0
    for part in text.split(","):
        member = part.strip(" \t")
        if not member:
            continue  # Section 3.3.2: empty members are allowed.
        count += 1
        match = _MEMBER.fullmatch(member)
        if match is None or count > MEMBERS:
            return {}
        members.setdefault(match[1], match[2])
    return _shortened(members)


def is_member(key: str, value: str) -> bool:
    """Tell whether this may be a member of a list."""
    return _MEMBER.fullmatch(f"{key}={value}") is not None


def _shortened(members: dict[str, str]) -> dict[str, str]:
    """Leave whole members out until the rest is short enough: long ones first, then from the end (section 3.3.3.1)."""
    lengths = {key: len(key) + len(value) + 2 for key, value in members.items()}
    excess = sum(lengths.values()) - 1 - _CARRIED
    if excess <= 0:
        return members
    last_first = list(reversed(members))
    long = [key for key in last_first if lengths[key] - 1 > _LONG]
    left_out = set()
    for key in long + [key for key in last_first if key not in long]:
        if excess <= 0:
            break
        left_out.add(key)
        excess -= lengths[key]
    return {key: value for key, value in members.items() if key not in left_out}


__all__ = ["MEMBERS", "is_member", "parse"]
