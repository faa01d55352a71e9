"""Limits lines that a client can cause: a few per minute from each place in the code, then a count of the others."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import lru_cache

from divan_obs_asgi.logs.errors import PROTOCOLS, SERVERS, exception_of, is_without_application
from divan_obs_asgi.logs.lines import FIELDS_KEY

# Lines a minute from one place in the code.
PER_MINUTE = 10
_WINDOW_S = 60.0
_MAX_PLACES = 200
# Where a line was logged and where its exception was raised: names and line numbers of code, without data of a client.
Place = tuple[str, str, int, str, str, int]
_OTHERS: Place = ("divan_obs_asgi", "", 0, "", "", 0)


class MinuteLimit:
    """
    Decides which records of servers and protocol libraries are written.

    Lines of the application, under any logger, and lines about its exceptions are never limited.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._counts: dict[Place, int] = {}
        self._until = 0.0

    @property
    def is_over(self) -> bool:
        """Whether a minute has ended and its counts are not reported yet."""
        return bool(self._counts) and self._clock() >= self._until

    def allows(self, record: logging.LogRecord) -> bool:
        """Return whether to write a record, and count it."""
        if record.levelno < logging.WARNING or not _is_caused_by_a_client(record):
            return True
        place = _place(record)
        with self._lock:
            if not self._counts:
                self._until = self._clock() + _WINDOW_S
            if place not in self._counts and len(self._counts) >= _MAX_PLACES:
                place = _OTHERS
            count = self._counts[place] = self._counts.get(place, 0) + 1
        return count <= PER_MINUTE

    def take(self) -> list[logging.LogRecord]:
        """Start a new minute, and return a record for each place whose lines were left out."""
        with self._lock:
            counts, self._counts = self._counts, {}
        return [_summary(place, count - PER_MINUTE) for place, count in counts.items() if count > PER_MINUTE]


def _is_caused_by_a_client(record: logging.LogRecord) -> bool:
    library = _library(record.pathname)
    if not library:
        return False
    error = exception_of(record)
    if error is not None:
        return is_without_application(error.__traceback__)
    return library in PROTOCOLS or record.levelno < logging.ERROR


@lru_cache(maxsize=512)
def _library(path: str) -> str:
    """Return the server or protocol package of a file, or "". The name of a logger does not show who uses it."""
    for name in SERVERS | PROTOCOLS:
        file = getattr(sys.modules.get(name), "__file__", None)
        if isinstance(file, str) and path.startswith(os.path.dirname(file) + os.sep) and file.endswith("__init__.py"):
            return name
    return ""


def _place(record: logging.LogRecord) -> Place:
    error = exception_of(record)
    kind, file, line = type(error).__qualname__ if error is not None else "", "", 0
    step = error.__traceback__ if error is not None else None
    while step is not None:
        file, line, step = step.tb_frame.f_code.co_filename, step.tb_lineno, step.tb_next
    return record.name, record.pathname, record.lineno, kind, file, line


def _summary(place: Place, left_out: int) -> logging.LogRecord:
    name, path, line, kind, raised_in, raised_at = place
    where = f"{os.path.basename(path)}:{line}" if path else "other places"
    if kind:
        where += f", {kind} at {os.path.basename(raised_in)}:{raised_at}"
    return logging.makeLogRecord(
        {
            "name": name,
            "levelno": logging.WARNING,
            "levelname": "WARNING",
            "msg": "%d more lines like this in the last minute (%s)",
            "args": (left_out, where),
            FIELDS_KEY: {"left_out": left_out},
        }
    )


__all__ = ["PER_MINUTE", "MinuteLimit"]
