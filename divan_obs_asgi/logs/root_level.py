"""The level of the root logger, as the application sees it."""

from __future__ import annotations

import logging


class RootLevel:
    """
    Decides which records are written, where the root logger lets more of them through for the flight recorder.

    A logger asks its own level and those above it before any handler sees the record, and the root logger is the
    last of them. So the recorder gets DEBUG lines by the root logger's level, and `LOG_LEVEL` is applied here, to
    the loggers that have no level of their own. Those that have one are as quiet and as talkative as they say.

    The root logger is set one below the recorder's level. Nobody else sets that number: any other was set by the
    application since, and is the one that counts.

    Args:
        level: the lowest that is written, LOG_LEVEL.
        recorder_level: the lowest that is recorded; None where nothing is.
    """

    def __init__(self, level: int, recorder_level: int | None = None) -> None:
        self.level = level
        self._recorder_level = recorder_level
        self._mark: int | None = None
        self._installed = False

    def install(self) -> None:
        """Set the root logger's level, and keep from the handlers that are there what they did not get before."""
        self._installed = True
        self.set(self.level)
        for handler in _all_handlers():
            for earlier in [one for one in handler.filters if isinstance(one, WrittenOnly)]:
                handler.removeFilter(earlier)
            if self._recorder_level is not None and handler.level <= self.level:
                handler.addFilter(WrittenOnly(self))

    def set(self, level: int) -> None:
        """Change what is written."""
        self.level = level
        if not self._installed:
            return
        if self._recorder_level is not None:
            self._mark = min(level, self._recorder_level) - 1
        logging.root.setLevel(level if self._mark is None else self._mark)

    def writes(self, record: logging.LogRecord) -> bool:
        """Return whether the record would have come this far if the root logger had `level`."""
        return record.levelno >= self.level or logging.root.level != self._mark or _has_own_level(record.name)


class WrittenOnly(logging.Filter):
    """Keeps from an application's own handlers what is only there for the flight recorder."""

    def __init__(self, root: RootLevel) -> None:
        super().__init__()
        self._root = root

    def filter(self, record: logging.LogRecord) -> bool:
        return self._root.writes(record)


def _has_own_level(name: str) -> bool:
    """Return whether a logger or one above it, below the root logger, has a level; true of one that is not listed."""
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
