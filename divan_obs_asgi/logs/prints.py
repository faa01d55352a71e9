"""What is printed, as log lines: `print`, `sys.stdout.write`, `traceback.print_exc`; behind LOG_PRINTS."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TextIO, cast

# Characters of a line that has no end yet; a progress bar may never have one.
_MAX_PART = 8192


class Pipeline(Protocol):
    """Where the lines go."""

    def printed(self, record: logging.LogRecord) -> object: ...


class PrintedLines:
    """
    Stands in the place of `sys.stdout` or `sys.stderr`, and makes each line that is written a log line.

    The start of a line waits for its end, for each thread by itself. Bytes that are written to `buffer`, or to the file
    descriptor, go where they went.

    Args:
        pipeline: returns the present one, or None: then everything is as it was before.
        stream: what was there.
        logger: the name of the logger.
        level: of its lines.
    """

    def __init__(self, pipeline: Callable[[], Pipeline | None], stream: TextIO, logger: str, level: int) -> None:
        self.beneath = stream
        self._pipeline = pipeline
        # A logger that the standard library knows has a level that can be set.
        self._logger = logging.getLogger(logger)
        self._level = level
        self._own = threading.local()

    def write(self, text: str) -> int:
        pipeline = self._pipeline()
        if pipeline is None:
            return self.beneath.write(text)
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if getattr(self._own, "inside", False):
            # Printed by what makes the line, such as a rule of redaction: there would be no end of lines.
            return len(text)
        *lines, rest = (getattr(self._own, "part", "") + text).split("\n")
        if len(rest) > _MAX_PART:
            lines.append(rest)
            rest = ""
        self._own.part = rest
        self._own.inside = True
        try:
            for line in lines:
                if line.strip() and self._logger.isEnabledFor(self._level):
                    pipeline.printed(self._record(line))
        finally:
            self._own.inside = False
        return len(text)

    def writelines(self, lines: Iterable[str], /) -> None:
        for line in lines:
            self.write(line)

    def end(self) -> None:
        """Write the line that this thread has begun; the process ends."""
        if getattr(self._own, "part", ""):
            self.write("\n")

    def forget(self) -> None:
        """Leave to the parent, in a forked child, what it had begun."""
        self._own = threading.local()

    def __getattr__(self, name: str) -> Any:
        # `buffer`, `fileno`, `isatty`, `encoding`, `flush` and all else are the stream's own.
        return getattr(self.beneath, name)

    def __iter__(self) -> Any:
        return iter(self.beneath)

    def __enter__(self) -> PrintedLines:
        return self

    def __exit__(self, *_: object) -> None:
        """As a stream's own, which closes it."""
        self.beneath.close()

    def _record(self, line: str) -> logging.LogRecord:
        # Where `print` was called, which is no frame of Python's own: the file decides whose line it is.
        frame = sys._getframe(2)
        place = frame.f_code.co_filename, frame.f_lineno
        return logging.LogRecord(self._logger.name, self._level, *place, line.removesuffix("\r"), (), None)


def log_prints(pipeline: Callable[[], Pipeline | None]) -> None:
    """Put such a stream in the place of both, or of an earlier one; where there is none, do nothing."""
    if sys.stdout is not None:
        sys.stdout = cast(TextIO, PrintedLines(pipeline, beneath(sys.stdout), "stdout", logging.INFO))
    if sys.stderr is not None:
        sys.stderr = cast(TextIO, PrintedLines(pipeline, beneath(sys.stderr), "stderr", logging.WARNING))


def end_prints() -> None:
    """Write the lines that were begun."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, PrintedLines):
            stream.end()


def _forget_parent() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, PrintedLines):
            stream.forget()


def beneath(stream: Any) -> Any:
    """Return what this library itself writes to."""
    while isinstance(stream, PrintedLines):
        stream = stream.beneath
    return stream


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)

__all__ = ["PrintedLines", "beneath", "end_prints", "log_prints"]
