"""Handles a new configuration of logging: watches the next records, and takes records that no handler gets."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import Any
from weakref import WeakMethod

# Seconds for which records are watched. After that, the task that checks once a second is enough.
_WATCHED_S = 5.0


class NextRecordsWatcher:
    """
    Calls `check` with the name of the logger for each record of the next seconds, before any handler gets the record.

    `dictConfig`, `fileConfig` and `basicConfig(force=True)` close the handlers that they remove, and then continue. So
    a check when a handler is closed would be too early. A task may be too late: the same function may log the next
    line. The record factory runs at the right time. It is put back afterwards.

    Args:
        check: a method, whose object is not kept alive.
    """

    def __init__(self, check: Callable[[str], None], clock: Callable[[], float] = monotonic) -> None:
        self._check = WeakMethod(check)
        self._clock = clock
        self._until = clock() + _WATCHED_S
        current = logging.getLogRecordFactory()
        self._before: Callable[..., logging.LogRecord] = (
            current.before if isinstance(current, NextRecordsWatcher) else current
        )
        logging.setLogRecordFactory(self)

    @property
    def before(self) -> Callable[..., logging.LogRecord]:
        """The factory that this one replaces."""
        return self._before

    def __call__(self, name: str, *args: Any, **kwargs: Any) -> logging.LogRecord:
        if self._clock() < self._until:
            if (check := self._check()) is not None:
                check(name)
        elif logging.getLogRecordFactory() is self:
            logging.setLogRecordFactory(self._before)
        return self._before(name, *args, **kwargs)


class UnhandledRecordHandler(logging.Handler):
    """
    Replaces `logging.lastResort`, which writes a record that no handler gets to standard error without redaction.

    No handler gets a record if its logger has `propagate=False` and no handler, or if the root logger has lost its last
    handler.

    Args:
        write: a method, whose object is not kept alive. It gets the record and the lowest level that Python would
            write. It returns False if Python has to write the record.
        before: the previous handler.
    """

    def __init__(self, write: Callable[[logging.LogRecord, int], bool], before: logging.Handler) -> None:
        super().__init__()
        self._written = WeakMethod(write)
        self.before: logging.Handler = before.before if isinstance(before, UnhandledRecordHandler) else before

    def handle(self, record: logging.LogRecord) -> bool:
        write = self._written()
        if write is not None and write(record, self.before.level):
            return True
        return record.levelno >= self.before.level and bool(self.before.handle(record))


__all__ = ["NextRecordsWatcher", "UnhandledRecordHandler"]
