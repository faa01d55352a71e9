"""W3C Trace Context, level 2: parsing and rendering `traceparent`. Works without the extra `tracing`."""

from __future__ import annotations

import re
from typing import NamedTuple

# Section 3.2: two hex digits of version, then for version 00 exactly these fields.
_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
# Section 3.2.2.5, trace-flags. The other bits are reserved and are propagated as zero.
SAMPLED = 0x01
RANDOM = 0x02
_KNOWN = SAMPLED | RANDOM


class TraceParent(NamedTuple):
    """The caller's span: its ids in lower-case hex, and the flags that level 2 defines."""

    trace_id: str
    span_id: str
    flags: int

    @property
    def sampled(self) -> bool:
        return bool(self.flags & SAMPLED)


def parse(values: list[bytes]) -> TraceParent | None:
    """Return the parsed `traceparent` header, or None if a new trace has to start."""
    if len(values) != 1:
        return None  # Section 3.2: a request has exactly one. With several, it is unknown which one to trust.
    match = _TRACEPARENT.fullmatch(values[0].strip(b" \t"))
    if match is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    # Section 3.2.2.1: ff is forbidden. Section 3.2.4: a later version may append fields, version 00 may not.
    if version == b"ff" or (version == b"00" and rest is not None):
        return None
    # Sections 3.2.2.3 and 3.2.2.4: all-zero ids are invalid.
    if trace_id == b"0" * 32 or span_id == b"0" * 16:
        return None
    return TraceParent(trace_id.decode(), span_id.decode(), int(flags, 16) & _KNOWN)


def render(trace_id: str, span_id: str, flags: int) -> bytes:
    """Return a `traceparent` of version 00; only the flags of level 2 are kept."""
    return f"00-{trace_id}-{span_id}-0{flags & _KNOWN}".encode("ascii")


__all__ = ["RANDOM", "SAMPLED", "TraceParent", "parse", "render"]
