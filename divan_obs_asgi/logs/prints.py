"""Turns prints into log lines, with LOG_PRINTS=true: `print`, `sys.stdout.write`, `traceback.print_exc`."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TextIO, cast

# Maximum characters of an unfinished line. A progress bar may never end its line.
_MAX_PART = 8192


class Pipeline(Protocol):
    """The pipeline that writes the lines."""

    def printed(self, record: logging.LogRecord) -> object: ...


class PrintedLines:
    """
    Replaces `sys.stdout` or `sys.stderr`, and turns each written line into a log line.

    The start of a line waits for its end, separately for each thread. Writes to `buffer` or to the file descriptor go
    to the original stream.

    Args:
        pipeline: returns the current pipeline, or None; without a pipeline, writes go to the original stream.
        stream: the original stream.
        logger: the name of the logger.
        level: the level of the lines.
    """

    def __init__(self, pipeline: Callable[[], Pipeline | None], stream: TextIO, logger: str, level: int) -> None:
        self.original = stream
        self._pipeline = pipeline
        # A logger of the standard library, so that its level can be set.
        self._logger = logging.getLogger(logger)
        self._level = level
        self._own = threading.local()

    def write(self, text: str) -> int:
        pipeline = self._pipeline()
        if pipeline is None:
            return self.original.write(text)
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if getattr(self._own, "inside", False):
            # Code that creates the line printed this, such as a redaction rule. A line for it would cause another
            # print.
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
        """Write this thread's unfinished line, because the process ends."""
        if getattr(self._own, "part", ""):
            self.write("\n")

    def forget(self) -> None:
        """In a forked child, discard the unfinished lines, which the parent writes."""
        self._own = threading.local()

    def __getattr__(self, name: str) -> Any:
        # `buffer`, `fileno`, `isatty`, `encoding`, `flush` and all others are those of the original stream.
        return getattr(self.original, name)

    def __iter__(self) -> Any:
        return iter(self.original)

    def __enter__(self) -> PrintedLines:
        return self

    def __exit__(self, *_: object) -> None:
        """Close the original stream, as its own method would."""
        self.original.close()

    def _record(self, line: str) -> logging.LogRecord:
        # The place of the `print` call, because its file decides whether the line is the application's.
        frame = sys._getframe(2)
        place = frame.f_code.co_filename, frame.f_lineno
        return logging.LogRecord(self._logger.name, self._level, *place, line.removesuffix("\r"), (), None)


def log_prints(pipeline: Callable[[], Pipeline | None]) -> None:
    """Replace `sys.stdout` and `sys.stderr`, if they are not None; an earlier replacement is replaced too."""
    if sys.stdout is not None:
        sys.stdout = cast(TextIO, PrintedLines(pipeline, original_stream(sys.stdout), "stdout", logging.INFO))
    if sys.stderr is not None:
        sys.stderr = cast(TextIO, PrintedLines(pipeline, original_stream(sys.stderr), "stderr", logging.WARNING))


def end_prints() -> None:
    """Write this thread's unfinished lines."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, PrintedLines):
            stream.end()


def _forget_parent() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, PrintedLines):
            stream.forget()


def original_stream(stream: Any) -> Any:
    """Return the stream that this library itself writes to."""
    while isinstance(stream, PrintedLines):
        stream = stream.original
    return stream


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)

__all__ = ["PrintedLines", "end_prints", "log_prints", "original_stream"]
