"""Raw ASGI headers: reading, replacing, and what a request id may look like."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterable, Mapping

from divan_obs_asgi.types import RawHeaders

# No spaces, quotes or control characters: what passes can stand in a log line and in a header.
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
# The variant bits of RFC 4122, section 4.1.1: "10" in front of two bits of chance.
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def values(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    """Return the values of all headers called `name`, in order; names are in lower case, as ASGI wants them."""
    return [value for key, value in headers if key == name]


def joined(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str:
    """Return the values of all headers called `name` as the one list that they are (RFC 9110, section 5.3)."""
    return b", ".join(values(headers, name)).decode("latin-1")


def replaced(headers: Iterable[tuple[bytes, bytes]], new: Mapping[bytes, bytes]) -> RawHeaders:
    """Return a copy of `headers` in which each name of `new` (lower case) stands once, with its new value."""
    kept = [pair for pair in headers if pair[0].lower() not in new]
    kept.extend(new.items())
    return kept


def valid_request_id(value: bytes | None) -> str | None:
    """Return a client's request id as text, or None where it must not be trusted."""
    if value is None or _REQUEST_ID.fullmatch(value) is None:
        return None
    return value.decode("ascii")


def new_request_id() -> str:
    """Return a random UUID (version 4) as text."""
    try:
        return _ready.pop()
    except IndexError:
        own, *others = _uuids()
        _ready.extend(others)
        return own


def _uuids() -> list[str]:
    """Return many: one system call, and one warm loop, cost each of them a fraction of what it costs alone."""
    chance, variant = os.urandom(16 * _AT_A_TIME).hex(), _VARIANT
    each = [chance[start : start + 32] for start in range(0, len(chance), 32)]
    return [f"{one[:8]}-{one[8:12]}-4{one[13:16]}-{variant[one[16]]}{one[17:20]}-{one[20:]}" for one in each]


# 30 µs of work at once; more of them would be no cheaper.
_AT_A_TIME = 64
_ready: deque[str] = deque()
# A forked worker must not give out its parent's ids.
os.register_at_fork(after_in_child=_ready.clear)

__all__ = ["joined", "new_request_id", "replaced", "valid_request_id", "values"]
