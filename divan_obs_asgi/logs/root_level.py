"""The level of the root logger, as the application sees it."""

from __future__ import annotations

import logging


class RootLevel:
    """
    Decides which records are written, while the root logger lets more of them through for the flight recorder.

    Before any handler gets a record, the logger compares its own level and those of its parents, up to the root logger.
    So the level of the root logger must let DEBUG lines through to the recorder, and `LOG_LEVEL` is applied here, to
    loggers without a level of their own. For a logger with a level of its own, that level decides.

    The level of the root logger is one below the recorder's level. No other code sets this number. Any other number was
    set by the application later, and counts.

    Args:
        level: the lowest level that is written, LOG_LEVEL.
        recorder_level: the lowest level that the flight recorder buffers; None without a recorder.
        debug_requests: whether a request may write all of its DEBUG lines (OBS_DEBUG_KEY).

    Attributes:
        recorded_from: the lowest level that the flight recorder buffers, of the records that pass the root logger.
    """

    def __init__(self, level: int, recorder_level: int | None = None, *, debug_requests: bool = False) -> None:
        self.level = level
        self.recorded_from = 0
        if debug_requests and recorder_level is not None:
            self.recorded_from = recorder_level
        self._recorder_level = logging.DEBUG if debug_requests else recorder_level
        self._mark: int | None = None
        self._installed = False

    def install(self) -> None:
        """Set the root logger's level, and filter existing handlers so that they get no additional records."""
        self._installed = True
        self.set(self.level)
        for handler in _all_handlers():
            for earlier in [one for one in handler.filters if isinstance(one, WrittenOnly)]:
                handler.removeFilter(earlier)
            if self._recorder_level is not None and handler.level <= self.level:
                handler.addFilter(WrittenOnly(self))

    def set(self, level: int) -> None:
        """Change the lowest level that is written."""
        self.level = level
        if not self._installed:
            return
        if self._recorder_level is not None:
            self._mark = min(level, self._recorder_level) - 1
        logging.root.setLevel(level if self._mark is None else self._mark)

    def writes(self, record: logging.LogRecord) -> bool:
        """Return whether the record would pass if the root logger had the level `level`."""
        return record.levelno >= self.level or logging.root.level != self._mark or _has_own_level(record.name)


class WrittenOnly(logging.Filter):
    """Keeps records for the flight recorder from the application's own handlers."""

    def __init__(self, root: RootLevel) -> None:
        super().__init__()
        self._root = root

    def filter(self, record: logging.LogRecord) -> bool:
        return self._root.writes(record)


def _has_own_level(name: str) -> bool:
    """Return whether a logger or a parent below the root logger has a level; true if the logger is not registered."""
    logger: object = logging.root.manager.loggerDict.get(name)
    while isinstance(logger, logging.Logger):
        if logger is logging.root:
            return False
        if logger.level:
            return True
        logger = logger.parent
    return name != logging.root.name


def _all_handlers() -> list[logging.Handler]:
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    return [handler for logger in loggers if isinstance(logger, logging.Logger) for handler in logger.handlers]


__all__ = ["RootLevel", "WrittenOnly"]
