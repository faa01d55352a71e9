"""The root logger belongs to all tests: a test that takes it over gives it back."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

SERVERS = (
    *("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi", "hypercorn.error", "hypercorn.access"),
    *("gunicorn.error", "gunicorn.access", "engineio.server", "socketio.server", "engineio.client", "socketio.client"),
)
HOOKS = ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook"), (warnings, "showwarning"))


@contextmanager
def root_logger_kept() -> Iterator[None]:
    """Put the root logger, the servers' loggers and the hooks for what nobody catches back as they were."""
    loggers = [logging.getLogger(), *map(logging.getLogger, SERVERS)]
    before = [
        (logger, list(logger.handlers), list(logger.filters), logger.level, logger.propagate, logger.disabled)
        for logger in loggers
    ]
    hooks = [(module, name, getattr(module, name)) for module, name in HOOKS]
    try:
        yield
    finally:
        for module, name, hook in hooks:
            setattr(module, name, hook)
        for logger, handlers, filters, level, propagate, disabled in before:
            logger.handlers[:] = handlers
            logger.filters[:] = filters
            logger.setLevel(level)  # Also clears the levels that loggers have remembered.
            logger.propagate, logger.disabled = propagate, disabled
