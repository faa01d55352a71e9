"""What is done when the application configures logging again: the next records, and those that no handler gets."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import Any
from weakref import WeakMethod

# Seconds that records are looked at; after them it is up to the task that looks once a second.
_ARMED_S = 5.0


class NextRecords:
    """
    Calls `look` with the name of the logger for each record of the next seconds, before any handler sees it.

    `dictConfig`, `fileConfig` and `basicConfig(force=True)` close the handlers that they take away, and go on. So the
    moment in which a handler is closed is too early to look, and a task may come too late: the next line may be logged
    by the same function. The factory of records stands in between, and is put back afterwards.

    Args:
        look: a method, whose object is not kept alive.
    """

    def __init__(self, look: Callable[[str], None], clock: Callable[[], float] = monotonic) -> None:
        self._look = WeakMethod(look)
        self._clock = clock
        self._until = clock() + _ARMED_S
        present = logging.getLogRecordFactory()
        self._before: Callable[..., logging.LogRecord] = present.before if isinstance(present, NextRecords) else present
        logging.setLogRecordFactory(self)

    @property
    def before(self) -> Callable[..., logging.LogRecord]:
        """The factory in whose place this one stands."""
        return self._before

    def __call__(self, name: str, *args: Any, **kwargs: Any) -> logging.LogRecord:
        if self._clock() < self._until:
            if (look := self._look()) is not None:
                look(name)
        elif logging.getLogRecordFactory() is self:
            logging.setLogRecordFactory(self._before)
        return self._before(name, *args, **kwargs)


class WithoutHandler(logging.Handler):
    """
    Stands in the place of `logging.lastResort`, which writes a record that no handler gets to standard error as it is.

    That is a record of a logger with `propagate=False` and no handler, and of all others where the root logger has lost
    the last of its handlers.

    Args:
        write: a method, whose object is not kept alive. It gets the record and the level from which on Python would
            have written it, and returns False for what Python is to write after all.
        before: what was there.
    """

    def __init__(self, write: Callable[[logging.LogRecord, int], bool], before: logging.Handler) -> None:
        super().__init__()
        self._written = WeakMethod(write)
        self.before: logging.Handler = before.before if isinstance(before, WithoutHandler) else before

    def handle(self, record: logging.LogRecord) -> bool:
        write = self._written()
        if write is not None and write(record, self.before.level):
            return True
        return record.levelno >= self.before.level and bool(self.before.handle(record))


__all__ = ["NextRecords", "WithoutHandler"]
