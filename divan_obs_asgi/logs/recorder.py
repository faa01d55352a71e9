"""The flight recorder: buffers the suppressed lines of a request until its outcome is known."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from divan_obs_asgi.connection.record import Record
from divan_obs_asgi.logs.kept_lines import KeptLine

_COMPONENT = "flight_recorder"


class FlightRecorder:
    """
    Buffers the last lines of each connection that level or sampling suppress, and writes them if it fails or is slow.

    The connection's record holds the lines. Most of them are rendered only when they are written. If the connection
    succeeds, they are dropped with it.

    Args:
        max_lines: maximum lines of one connection; 0 disables the recorder.
        max_bytes: maximum size of these lines.
        slow_s: an HTTP request that takes longer is slow; 0 disables this.
        write: called with each line and its level.
    """

    def __init__(self, max_lines: int, max_bytes: int, slow_s: float, write: Callable[[bytes, int], None]) -> None:
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._slow_s = slow_s
        self._write = write

    def wants(self, record: Record) -> bool:
        """Return whether to create a suppressed line of this connection for the recorder."""
        if record.outcome is None:
            return self._max_lines > 0
        # Without this limit, a task that outlives its request (a consumer that the first request starts) would write
        # its suppressed lines forever.
        return record.late_lines < self._max_lines and self.emits_for(record)

    def emits_for(self, record: Record) -> bool:
        """Return whether the suppressed lines of the finished record are written."""
        if record.debug:
            return True
        if not self._max_lines:
            return False
        if record.outcome != "ok" or record.status >= 500:
            return True
        return 0 < self._slow_s < record.duration_s and not record.lingers

    def keep(self, record: Record, line: KeptLine | bytes, level: int) -> None:
        """Buffer a line. A line after the end of the request (of a background task) is written at once."""
        if record.outcome is not None:
            record.late_lines += 1
            self._emit(record, line, level)
            return
        ring = record.kept_lines
        if ring is None:
            ring = record.kept_lines = Ring(self._max_lines, self._max_bytes)
            record.add_finisher(_COMPONENT, self.finish)
        ring.append(line, level)

    def finish(self, record: Record) -> None:
        """Write or drop the buffered lines of the finished record."""
        ring, record.kept_lines = record.kept_lines, None
        if ring is None or not self.emits_for(record):
            return
        failure: Exception | None = None
        for line, level in ring.lines:
            try:
                self._emit(record, line, level)
            except Exception as error:
                failure = error
        if failure is not None:
            raise failure

    def _emit(self, record: Record, line: KeptLine | bytes, level: int) -> None:
        data = line if isinstance(line, bytes) else line.render(record)
        if record.watcher is not None:
            record.watcher.line(record, data)
        self._write(data, level)


class Ring:
    """A bounded buffer of the newest lines. Worker threads of a framework may write to it too."""

    def __init__(self, max_lines: int, max_bytes: int) -> None:
        self.lines: deque[tuple[KeptLine | bytes, int]] = deque()
        self._room = max_bytes
        self._max_lines = max_lines
        self._lock = threading.Lock()

    def append(self, line: KeptLine | bytes, level: int) -> None:
        """Add a line, and remove the oldest ones if there are too many."""
        with self._lock:
            self.lines.append((line, level))
            self._room -= _size(line)
            while self._room < 0 or len(self.lines) > self._max_lines:
                self._room += _size(self.lines.popleft()[0])


def _size(line: KeptLine | bytes) -> int:
    return len(line) if isinstance(line, bytes) else line.size


__all__ = ["FlightRecorder", "Ring"]
