"""Raw ASGI headers: finding, replacing, and what a request id may look like."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

from divan_obs_asgi.types import RawHeaders

# No spaces, quotes or control characters: what passes can stand in a log line and in a header.
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
# The variant bits of RFC 4122, section 4.1.1: "10" in front of two bits of chance.
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def find(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """Return the value of the first header called `name` (given in lower case), or None."""
    for key, value in headers:
        # ASGI servers send lower-case names; a test client or a gateway may not.
        if key == name or (len(key) == len(name) and key.lower() == name):
            return value
    return None


def find_all(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    """Return the values of all headers called `name` (given in lower case), in order."""
    return [value for key, value in headers if len(key) == len(name) and key.lower() == name]


def replaced(headers: Iterable[tuple[bytes, bytes]], new: Mapping[bytes, bytes]) -> RawHeaders:
    """Return a copy of `headers` in which each name of `new` (lower case) stands once, with its new value."""
    kept = [(key, value) for key, value in headers if key.lower() not in new]
    kept.extend(new.items())
    return kept


def valid_request_id(value: bytes | None) -> str | None:
    """Return a client's request id as text, or None where it must not be trusted."""
    if value is None or _REQUEST_ID.fullmatch(value) is None:
        return None
    return value.decode("ascii")


def new_request_id() -> str:
    """Return a random UUID (version 4) as text; `str(uuid.uuid4())` at a third of its cost."""
    digits = os.urandom(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{_VARIANT[digits[16]]}{digits[17:20]}-{digits[20:]}"


__all__ = ["find", "find_all", "new_request_id", "replaced", "valid_request_id"]
