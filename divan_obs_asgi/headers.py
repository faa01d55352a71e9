"""Raw ASGI headers: reading, replacing, and what a request id may look like."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from divan_obs_asgi.types import Message, RawHeaders, Scope

# No spaces, quotes or control characters: what passes can stand in a log line and in a header.
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
_PAIRS = (tuple, list)
# The variant bits of RFC 4122, section 4.1.1: "10" in front of two bits of chance.
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def values(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    """Return the values of all headers called `name`, in order; names are in lower case, as ASGI wants them."""
    return [value for key, value in headers if key == name]


def joined(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str:
    """Return the values of all headers called `name` as the one list that they are (RFC 9110, section 5.3)."""
    return b", ".join(values(headers, name)).decode("latin-1")


def lasting(headers: Any) -> Any:
    """
    Return headers that can be read again and again; a list or tuple of such pairs is returned as it is.

    ASGI asks for no more than an iterable of two-item iterables, and Falcon's test client passes an iterator: whoever
    reads it first leaves nothing for the next reader. What is no iterable at all is returned as it is, too.
    """
    kind = type(headers)
    if (kind is list or kind is tuple) and (not headers or isinstance(headers[0], _PAIRS)):
        return headers
    return (
        [pair if isinstance(pair, _PAIRS) else tuple(pair) for pair in headers]
        if hasattr(headers, "__iter__")
        else headers
    )


def keep_headers(scope: Scope) -> None:
    """Have the headers of a scope be what can be read again, before anybody reads them."""
    given = scope.get("headers")
    if type(given) is list and (not given or type(given[0]) is tuple):
        return  # As servers pass them.
    kept = lasting(given)
    if kept is not given:
        scope["headers"] = kept


def with_lasting_headers(message: Message) -> Message:
    """Return a message whose headers can be read again: itself, or a copy."""
    given = message.get("headers")
    kept = lasting(given)
    return message if kept is given else {**message, "headers": kept}


def by_name(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return headers by name; of several with one name the last."""
    try:
        return dict(headers)
    except TypeError:
        return {_name(name): value for name, value in headers}


def replaced(headers: Iterable[tuple[bytes, bytes]], new: Mapping[bytes, bytes]) -> RawHeaders:
    """Return a copy of `headers` in which each name of `new` (lower case) stands once, with its new value."""
    try:
        kept = [pair for pair in headers if pair[0].lower() not in new]
    except (AttributeError, TypeError):
        kept = [pair for pair in headers if _name(pair[0]).lower() not in new]
    kept.extend(new.items())
    return kept


def _name(name: object) -> bytes:
    """Return a header's name as bytes: servers take a bytearray or a memoryview, too."""
    return memoryview(name).tobytes()  # type: ignore[arg-type]


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

__all__ = [
    "by_name",
    "joined",
    "keep_headers",
    "lasting",
    "new_request_id",
    "replaced",
    "valid_request_id",
    "values",
    "with_lasting_headers",
]
