"""W3C Trace Context, level 2, section 3.3: parsing `tracestate`. Works without the extra `tracing`."""

from __future__ import annotations

import re

# Section 3.3.2, "Key" and "Value". In level 2 a key may contain "@" anywhere except at its start.
_MEMBER = re.compile(
    r"([a-z0-9][a-z0-9_*/@-]{0,255})=([\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e])"
)
MEMBERS = 32
# The longest list of 32 members has 16,447 characters. A longer text is mostly whitespace and commas, and is ignored.
_READ = 32_768
# Section 3.3.3.1 requires at least 512 characters. More than this is not propagated.
_CARRIED = 8192
# If the list is too long, members above this length are removed first (section 3.3.3.1).
_LONG = 128


def parse(values: list[bytes]) -> dict[str, str]:
    """
    Return the members of all `tracestate` headers, in their order; empty if a member is malformed.

    A list that breaks the grammar or has too many members is discarded as a whole. A list with a duplicate key is
    valid: the left-most value is the latest one, and the duplicates may be discarded (section 3.5).
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
    """Return whether the pair is a valid member of a list."""
    return _MEMBER.fullmatch(f"{key}={value}") is not None


def _shortened(members: dict[str, str]) -> dict[str, str]:
    """Remove whole members until the list is short enough: long ones first, then from the end (section 3.3.3.1)."""
    lengths = {key: len(key) + len(value) + 2 for key, value in members.items()}
    excess = sum(lengths.values()) - 1 - _CARRIED
    if excess <= 0:
        return members
    last_first = list(reversed(members))
    long = [key for key in last_first if lengths[key] - 1 > _LONG]
    removed = set()
    for key in long + [key for key in last_first if key not in long]:
        if excess <= 0:
            break
        removed.add(key)
        excess -= lengths[key]
    return {key: value for key, value in members.items() if key not in removed}


__all__ = ["MEMBERS", "is_member", "parse"]
