"""W3C Trace Context, section 3.3: reading `tracestate`. Needs no tracing library."""

from __future__ import annotations

import re

# Sections 3.3.1.3.1 and 3.3.1.3.2.
_MEMBER = re.compile(
    r"([a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    r"=([\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e])"
)
_MEMBERS = 32
# Section 3.3.1.5 asks for 512 characters at least; a header that is longer than this is not worth carrying around.
_LENGTH = 8192


def parse(values: list[bytes]) -> list[tuple[str, str]]:
    """Return the members of all `tracestate` headers, or none where one is malformed: a part would tell a lie."""
    text = ",".join(value.decode("latin-1") for value in values)
    if len(text) > _LENGTH:
        return []
    members: dict[str, str] = {}
    for part in text.split(","):
        member = part.strip(" \t")
        if not member:
            continue  # Section 3.3.1.3: empty members are allowed.
        match = _MEMBER.fullmatch(member)
        if match is None or match[1] in members:
            return []
        members[match[1]] = match[2]
    return list(members.items()) if len(members) <= _MEMBERS else []


__all__ = ["parse"]
