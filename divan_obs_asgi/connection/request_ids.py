"""Request ids: which ids of clients are valid, and how new ones are made."""

from __future__ import annotations

import inspect
import os
import re
from collections import deque
from collections.abc import Callable
from threading import Lock
from time import time_ns
from typing import TypeAlias

from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.internal_errors import InternalErrors

NewId: TypeAlias = Callable[[], str]

COMPONENT = "request_id"
# No spaces, quotes or control characters: a valid id is safe in a log line and in a header.
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
# RFC 9562, section 4.2: version 4 in the upper half of byte 6. Section 4.1: "10" in front of the random bits of byte 8.
_VERSION = bytes(0x40 | byte & 0x0F for byte in range(256))
_VARIANT = bytes(0x80 | byte & 0x3F for byte in range(256))


def valid_request_id(value: bytes | None) -> str | None:
    """Return a client's request id as text, or None where it must not be trusted."""
    if value is None or _REQUEST_ID.fullmatch(value) is None:
        return None
    return value.decode("ascii")


def uuid4() -> str:
    """Return a random UUID (version 4) as text."""
    try:
        return _ready.pop()
    except IndexError:
        own, *others = _uuids()
        _ready.extend(others)
        return own


def _uuids() -> list[str]:
    """Return many at once: with one system call and one loop each costs a fraction of a single one."""
    chance = bytearray(os.urandom(16 * _AT_A_TIME))
    chance[6::16] = chance[6::16].translate(_VERSION)
    chance[8::16] = chance[8::16].translate(_VARIANT)
    # A dash after every second byte, of which each id keeps four.
    text = chance.hex("-", 2)
    return [
        f"{text[at : at + 4]}{text[at + 5 : at + 29]}{text[at + 30 : at + 34]}{text[at + 35 : at + 39]}"
        for at in range(0, len(text), 40)
    ]


# 30 µs of work at once; larger batches are not cheaper per id.
_AT_A_TIME = 64
_ready: deque[str] = deque()


class Uuid7:
    """
    Makes UUIDs of version 7 (RFC 9562, section 5.7): each is larger than the one before it, within this process.

    48 bits of Unix time in milliseconds and 74 random bits are read as one number. Where the clock has not moved on, or
    has gone back, the number before is increased by a random amount (section 6.2, method 2).

    Args:
        now_ns: Unix time.
    """

    _RANDOM_BITS = 74
    _STEP_BITS = 32

    def __init__(self, now_ns: Callable[[], int] = time_ns) -> None:
        self._now_ns = now_ns
        self.restart()

    def restart(self) -> None:
        """Forget the ids of the parent process, whose lock may have been held when this process was forked."""
        self._lock = Lock()
        self._last = 0

    def __call__(self) -> str:
        chance = int.from_bytes(os.urandom(10)) >> 80 - self._RANDOM_BITS
        fresh = (self._now_ns() // 1_000_000 << self._RANDOM_BITS) | chance
        with self._lock:
            if fresh <= self._last:
                fresh = self._last + 1 + (chance >> self._RANDOM_BITS - self._STEP_BITS)
            self._last = fresh
        head, tail = divmod(fresh, 1 << 62)
        time_ms, a = divmod(head, 1 << 12)
        text = f"{time_ms & 0xFFFF_FFFF_FFFF:012x}7{a:03x}{0b10 << 62 | tail:016x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


uuid7 = Uuid7()
GENERATORS: dict[str, NewId] = {"uuid4": uuid4, "uuid7": uuid7}


def _in_child() -> None:
    """A forked worker must not use its parent's ids."""
    _ready.clear()
    uuid7.restart()


os.register_at_fork(after_in_child=_in_child)


def checked(own: NewId, faults: InternalErrors, redacted: Callable[[str], str]) -> NewId:
    """
    Return the application's generator in a safe form: no exception and no result of it makes a request fail.

    An id that is unsafe in a header or a log line is replaced by a UUID, and counted as an error of the component
    `request_id`. So is an id that `redacted` changes, such as the token of a session.

    Raises:
        ImproperlyConfigured: if it is not callable, or is a coroutine function.
    """
    if not callable(own) or inspect.iscoroutinefunction(own):
        kind = "a coroutine function" if callable(own) else f"{type(own).__name__}"
        raise ImproperlyConfigured(f"new_request_id is {kind}; expected a function that returns a text: () -> str.")

    def new_id() -> str:
        try:
            made = own()
            if _REQUEST_ID.fullmatch(made.encode("ascii")) is None:
                raise ValueError("The id is not 1 to 128 letters, digits or any of . _ : / + = -")
            if redacted(made) != made:
                raise ValueError("The id looks like a token or another secret")
        except Exception as error:
            faults.report(COMPONENT, error)
            return uuid4()
        return made

    return new_id


__all__ = ["COMPONENT", "GENERATORS", "NewId", "Uuid7", "checked", "uuid4", "uuid7", "valid_request_id"]
