"""The root logger belongs to all tests: a test that takes it over gives it back."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

SERVERS = ("uvicorn", "uvicorn.error", "uvicorn.access", "hypercorn.error", "hypercorn.access")


@contextmanager
def root_logger_kept() -> Iterator[None]:
    """Put the root logger and the servers' loggers back as they were."""
    loggers = [logging.getLogger(), *map(logging.getLogger, SERVERS)]
    before = [(logger, list(logger.handlers), logger.level, logger.propagate, logger.disabled) for logger in loggers]
    try:
        yield
    finally:
        for logger, handlers, level, propagate, disabled in before:
            logger.handlers[:] = handlers
            logger.setLevel(level)  # Also clears the levels that loggers have remembered.
            logger.propagate, logger.disabled = propagate, disabled
