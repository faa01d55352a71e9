"""The root logger belongs to all tests: a test that takes it over gives it back."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from divan_obs_asgi.logs import PipelineHandler

SERVERS = (
    *("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi", "hypercorn.error", "hypercorn.access"),
    *("_granian", "granian.access", "django.channels.server"),
    *("gunicorn.error", "gunicorn.access", "engineio.server", "socketio.server", "engineio.client", "socketio.client"),
)
HOOKS = (
    *((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook"), (warnings, "showwarning")),
    (logging, "lastResort"),
)


@contextmanager
def root_logger_kept() -> Iterator[None]:
    """Put the root logger, the servers' loggers, the factory of records and Python's hooks back as they were."""
    loggers = [logging.getLogger(), *map(logging.getLogger, SERVERS)]
    before = [
        (logger, list(logger.handlers), list(logger.filters), logger.level, logger.propagate, logger.disabled)
        for logger in loggers
    ]
    hooks = [(module, name, getattr(module, name)) for module, name in HOOKS]
    factory = logging.getLogRecordFactory()
    try:
        yield
    finally:
        logging.setLogRecordFactory(factory)
        for handler in logging.root.handlers:
            if isinstance(handler, PipelineHandler) and handler not in before[0][1]:
                # Its pipeline would put it back.
                handler.logs.replaced()
        for module, name, hook in hooks:
            setattr(module, name, hook)
        for logger, handlers, filters, level, propagate, disabled in before:
            logger.handlers[:] = handlers
            logger.filters[:] = filters
            logger.setLevel(level)  # Also clears the levels that loggers have remembered.
            logger.propagate, logger.disabled = propagate, disabled
