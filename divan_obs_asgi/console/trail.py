"""The calls and log lines of one request, as they happen: closed descriptions and redacted bytes only."""

from __future__ import annotations

from collections.abc import Mapping
from time import time

from divan_obs_asgi.console.limits import CALLS, LINES, REQUEST_BYTES

# Bytes of a call and of a line beside their texts.
_CALL_BYTES, _LINE_BYTES = 240, 60
# Bytes of a trail with one short line, as most requests have it: their access line.
SMALL = 1000
SHORT_LINE = 700
_NO_CALLS: Mapping[tuple[str, str, str], Call] = {}


class Call:
    """
    Calls of a request that do the same.

    Attributes:
        at: Unix time of the first one.
        seconds: what all of them have taken.
        ok: whether none has failed.
    """

    __slots__ = ("at", "count", "kind", "name", "ok", "seconds", "text")

    def __init__(self, kind: str, name: str, text: str, at: float) -> None:
        self.kind = kind
        self.name = name
        self.text = text
        self.at = at
        self.seconds = 0.0
        self.count = 0
        self.ok = True


class Trail(list[bytes]):
    """
    The log lines of one request, and its calls. Lines may be added after the end of the request.

    `Trail((line,))` is a trail with one line of at most `SHORT_LINE` bytes. It is made for nearly every request, so all
    other attributes belong to the class until they are needed.

    Attributes:
        calls: by kind, name and text, in the order of the first of each: a statement that repeats is one entry.
        call_count: the number of calls, those that are dropped included.
        size: an estimate of its bytes.
    """

    calls: Mapping[tuple[str, str, str], Call] = _NO_CALLS
    call_count = dropped_calls = dropped_lines = 0
    size = SMALL

    def begin(self, kind: str, name: str, text: str) -> Call | None:
        """Return the entry of a call that begins now; None if there is no room for another one."""
        self.call_count += 1
        key = (kind, name, text)
        call = self.calls.get(key)
        if call is None:
            size = self.size + _CALL_BYTES + len(name) + len(text)
            if len(self.calls) >= CALLS or size > REQUEST_BYTES:
                self.dropped_calls += 1
                return None
            self.size = size
            call = Call(kind, name, text, time())
            known = vars(self).setdefault("calls", {})
            known[key] = call
        call.count += 1
        return call

    def add_line(self, line: bytes) -> None:
        """Keep a line, if there is room for it."""
        size = self.size + _LINE_BYTES + len(line)
        if len(self) >= LINES or size > REQUEST_BYTES:
            self.dropped_lines += 1
            return
        self.size = size
        self.append(line)


__all__ = ["SHORT_LINE", "SMALL", "Call", "Trail"]
