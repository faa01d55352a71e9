"""The calls and log lines of one request, as they happen: closed descriptions and redacted bytes only."""

from __future__ import annotations

from time import time

from divan_obs_asgi.console.limits import CALLS, LINES, REQUEST_BYTES

# Bytes of a call and of a line beside their texts.
_CALL_BYTES, _LINE_BYTES = 240, 60


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


class Trail:
    """
    What the console keeps of one request while it lasts, and afterwards.

    Attributes:
        calls: by kind, name and text, in the order of the first of each: a statement that repeats is one entry.
        count: the number of calls, those that are dropped included.
        size: an estimate of its bytes.
    """

    __slots__ = ("calls", "count", "dropped_calls", "dropped_lines", "lines", "size")

    def __init__(self) -> None:
        self.calls: dict[tuple[str, str, str], Call] = {}
        self.lines: list[bytes] = []
        self.count = self.dropped_calls = self.dropped_lines = 0
        self.size = 200

    def begin(self, kind: str, name: str, text: str) -> Call | None:
        """Return the entry of a call that begins now; None if there is no room for another one."""
        self.count += 1
        key = (kind, name, text)
        call = self.calls.get(key)
        if call is None:
            size = _CALL_BYTES + len(name) + len(text)
            if len(self.calls) >= CALLS or self.size + size > REQUEST_BYTES:
                self.dropped_calls += 1
                return None
            self.size += size
            call = self.calls[key] = Call(kind, name, text, time())
        call.count += 1
        return call

    def add_line(self, line: bytes) -> None:
        """Keep a line, if there is room for it."""
        size = _LINE_BYTES + len(line)
        if len(self.lines) >= LINES or self.size + size > REQUEST_BYTES:
            self.dropped_lines += 1
            return
        self.size += size
        self.lines.append(line)


__all__ = ["Call", "Trail"]
