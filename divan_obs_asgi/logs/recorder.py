"""The flight recorder: the lines of a request that were not written, until it is known how it ended."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from divan_obs_asgi.connection.record import Record

_COMPONENT = "flight_recorder"


class FlightRecorder:
    """
    Keeps the last lines of each connection that level or sampling dropped, and writes them where it ended badly.

    They are kept finished, so redacted, on the connection's record, and go with it where it ended well.

    Args:
        max_lines, max_bytes: what one connection may keep; with 0 lines there is no recorder.
        slow_s: an HTTP request that takes longer has ended badly; 0 for never.
        write: called with each line and its level.
    """

    def __init__(self, max_lines: int, max_bytes: int, slow_s: float, write: Callable[[bytes, int], None]) -> None:
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._slow_s = slow_s
        self._write = write

    def wants(self, record: Record) -> bool:
        """Return whether a line of this connection is worth making, that would otherwise be dropped."""
        if record.outcome is None:
            return self._max_lines > 0
        # What outlives its request, a consumer that the first one has started, would else be told of for ever.
        return record.late_lines < self._max_lines and self.tells_of(record)

    def tells_of(self, record: Record) -> bool:
        """Return whether the finished record is one that everything is told of."""
        if not self._max_lines:
            return False
        if record.outcome != "ok" or record.status >= 500:
            return True
        return 0 < self._slow_s < record.duration_s and not record.lingers

    def keep(self, record: Record, line: bytes, level: int) -> None:
        """Keep a line; one that comes after the end (a background task's) is written at once, as many as are kept."""
        if record.outcome is not None:
            record.late_lines += 1
            self._write(line, level)
            return
        ring = record.kept_lines
        if ring is None:
            ring = record.kept_lines = Ring(self._max_lines, self._max_bytes)
            record.add_finisher(_COMPONENT, self.finish)
        ring.append(line, level)

    def finish(self, record: Record) -> None:
        """Write the lines of the finished record, or let go of them."""
        ring, record.kept_lines = record.kept_lines, None
        if ring is not None and self.tells_of(record):
            for line, level in ring.lines:
                self._write(line, level)


class Ring:
    """The newest lines, as many as fit. A framework's worker threads may write to it as well."""

    def __init__(self, max_lines: int, max_bytes: int) -> None:
        self.lines: deque[tuple[bytes, int]] = deque()
        self._room = max_bytes
        self._max_lines = max_lines
        self._lock = threading.Lock()

    def append(self, line: bytes, level: int) -> None:
        """Add a line, and make room for it."""
        with self._lock:
            self.lines.append((line, level))
            self._room -= len(line)
            while self._room < 0 or len(self.lines) > self._max_lines:
                self._room += len(self.lines.popleft()[0])


__all__ = ["FlightRecorder", "Ring"]
