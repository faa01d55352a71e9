"""Standard error, for lines that cannot be written otherwise. A thread of its own writes them: a write may block."""

from __future__ import annotations

import logging
import os
import select
import sys
import threading
from collections import deque
from collections.abc import Callable

from divan_obs_asgi.logs.prints import original_stream

# Lines: enough for a burst while standard error is slow.
_QUEUE_SIZE = 1000
# Seconds without a line after which the thread ends; the next line starts another thread.
_IDLE_S = 1.0
# Seconds that a line waits for a stream that accepts nothing. The next lines do not wait until it accepts data again.
_PATIENCE_S = 0.5
# POSIX: a pipe that is ready for writing accepts at least PIPE_BUF bytes: at least 512, 4096 on Linux.
_PIPE_AT_ONCE = getattr(select, "PIPE_BUF", 512)


class StandardError:
    """Accepts lines without blocking, whether `sys.stderr` is a full pipe, a terminal or a custom object."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start with an empty queue and without a thread, as in a new process."""
        self._lines: deque[tuple[bytes, Callable[[], object]]] = deque()
        # Reentrant: a signal handler may log while its thread holds the lock.
        self._changed = threading.Condition(threading.RLock())
        self._thread: threading.Thread | None = None

    def put(self, line: bytes, lost: Callable[[], object] = bool) -> bool:
        """
        Queue one line (without its newline).

        Args:
            lost: called if the line cannot be written later.

        Returns:
            whether it was queued; False if the queue is full or no thread can be started.
        """
        with self._changed:
            if sys.stderr is None or len(self._lines) >= _QUEUE_SIZE or not self._has_writer():
                return False
            self._lines.append((line, lost))
            self._changed.notify_all()
        return True

    def flush(self, timeout_s: float) -> bool:
        """Wait until the queue is written; return whether it was."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._lines, timeout_s)

    def _has_writer(self) -> bool:
        if sys.is_finalizing():
            return False  # Threads no longer run, and `start` may wait forever.
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="divan-obs-stderr", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:
                # The interpreter is shutting down, or the host is at a limit.
                self._thread = None
        return self._thread is not None

    def _run(self) -> None:
        good = True
        while True:
            with self._changed:
                if not self._changed.wait_for(lambda: self._lines, _IDLE_S):
                    self._thread = None
                    return
                line, lost = self._lines[0]
            good = _write(line + b"\n", _PATIENCE_S if good else 0.0)
            if not good:
                lost()
            with self._changed:
                self._lines.popleft()
                self._changed.notify_all()


def _write(data: bytes, patience_s: float) -> bool:
    """Write to standard error below its buffer, because the buffer's lock would block other threads; may block."""
    try:
        stream = original_stream(sys.stderr)
        descriptor = _descriptor(stream)
        if descriptor is None:
            stream.write(data.decode())
            stream.flush()
            return True
        left = memoryview(data)
        while left:
            if not wait_until_writable(descriptor, patience_s):
                return False
            left = left[os.write(descriptor, left[:_PIPE_AT_ONCE]) :]
        return True
    except Exception:
        return False  # A failure of standard error cannot be reported anywhere.


def _descriptor(stream: object) -> int | None:
    """Return a stream's file descriptor; None for a stream in memory or a custom object."""
    try:
        descriptor = stream.fileno()  # type: ignore[attr-defined]
    except (OSError, AttributeError):
        return None
    return descriptor if isinstance(descriptor, int) else None


def wait_until_writable(descriptor: int, timeout_s: float | None = None) -> bool:
    """Return whether the descriptor accepts data or fails at once; wait up to `timeout_s` seconds for that."""
    if not hasattr(select, "poll"):  # Windows can wait for sockets only.
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(None if timeout_s is None else timeout_s * 1e3))


class LastResortHandler(logging.Handler):
    """
    Replaces `logging.lastResort` for the library's own loggers, without blocking.

    Python writes a WARNING without a handler to standard error in the thread that logs, which may run the event loop.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        if logging.lastResort is not None and not self._has_another(record):
            try:
                standard_error.put(self.format(record).encode("utf-8", "backslashreplace"))
            except Exception:
                self.handleError(record)

    def _has_another(self, record: logging.LogRecord) -> bool:
        logger: logging.Logger | None = logging.getLogger(record.name)
        while logger is not None:
            if any(handler is not self for handler in logger.handlers):
                return True
            logger = logger.parent if logger.propagate else None
        return False

    def handleError(self, record: logging.LogRecord) -> None:
        """Do nothing: the method of the standard library would write to standard error."""


# One per process, because the process has one standard error.
standard_error = StandardError()
os.register_at_fork(after_in_child=standard_error.reset)
# For the time before a pipeline exists, and for applications without one.
logging.getLogger("divan_obs_asgi").addHandler(LastResortHandler())

__all__ = ["LastResortHandler", "StandardError", "standard_error", "wait_until_writable"]
