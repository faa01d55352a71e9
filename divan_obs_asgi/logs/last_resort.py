"""Standard error, for the lines that find no other way out."""

from __future__ import annotations

import select
import sys
from collections.abc import Callable
from contextlib import suppress

# POSIX: a pipe that is ready for writing takes at least PIPE_BUF bytes, which is 512 or more; 4096 on Linux.
_AT_ONCE = getattr(select, "PIPE_BUF", 512)


def write_to_stderr(line: bytes) -> bool:
    """
    Write one line (without its newline) to standard error, unless that would block or fails.

    Returns:
        whether all of it was written.
    """
    try:
        stream = sys.stderr
        if stream is None:
            return False
        with suppress(Exception):
            stream.flush()
        raw = _raw(stream)
        if raw is None:
            stream.write(line.decode() + "\n")
            return True
        descriptor, write = raw
        left = memoryview(line + b"\n")
        while left:
            if not _takes_more(descriptor):
                return False
            left = left[write(left[:_AT_ONCE]) or 0 :]
        return True
    except Exception:
        # There is nobody left to tell.
        return False


def _raw(stream: object) -> tuple[int, Callable[[memoryview], int | None]] | None:
    """Return a stream's descriptor and unbuffered `write`, or None for one that is only in memory."""
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    try:
        return (raw.fileno(), raw.write) if raw is not None else None
    except (OSError, AttributeError):
        return None


def _takes_more(descriptor: int) -> bool:
    if not hasattr(select, "poll"):  # Windows: only sockets can be asked.
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return any(event & select.POLLOUT for _, event in poll.poll(0))


__all__ = ["write_to_stderr"]
