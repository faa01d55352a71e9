"""Handlers for standard output and standard error. Next to the pipeline they would write a second, unredacted copy."""

from __future__ import annotations

import logging
import logging.handlers
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any


def writes_to_console(handler: logging.Handler) -> bool:
    """Return whether a handler writes to this process's standard output or standard error."""
    stream = _attribute(handler, "stream")
    if stream is None:
        # The handler of rich has a console, which has the file.
        stream = _attribute(_attribute(handler, "console"), "file")
    if stream is None:
        return False
    if any(stream is one for one in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)):
        return True
    try:
        written_to = os.fstat(stream.fileno())
        # /dev/stdout, and a file that standard output is redirected to, have another descriptor.
        return any(os.path.samestat(written_to, os.fstat(descriptor)) for descriptor in (1, 2))
    except Exception:
        return False  # Not a file, closed, or a custom object, which may raise anything.


def remove_console_handlers(logger: logging.Logger) -> bool:
    """
    Remove a logger's console handlers, also those behind a queue or a buffer; return whether there were any.

    A logger with such a handler may not propagate to the root logger. Afterwards it does.
    """
    taken = False
    for handler in list(logger.handlers):
        if writes_to_console(handler):
            logger.removeHandler(handler)
            taken = True
        elif (inner := _without_console(handler)) is not None:
            taken = True
            if not inner:
                logger.removeHandler(handler)
    one: logging.Logger | None = logger if taken else None
    while one is not None and one is not logging.root:
        one.propagate = True
        one = one.parent
    return taken


def remove_all_console_handlers() -> list[str]:
    """Remove the console handlers of each logger of the process; return the names of the loggers that had one."""
    return [logger.name for logger in loggers() if logger.handlers and remove_console_handlers(logger)]


def loggers() -> Iterator[logging.Logger]:
    """Yield the root logger and all others."""
    yield logging.root
    for logger in list(logging.root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger):
            yield logger


def _without_console(handler: logging.Handler) -> tuple[logging.Handler, ...] | None:
    """
    Remove the console handlers behind this one; return the others behind it, or None if nothing was removed.

    A QueueHandler has a `listener` if Python 3.12 or Litestar created both.
    """
    listener = _attribute(handler, "listener")
    behind = _attribute(listener, "handlers")
    if listener is not None and isinstance(behind, tuple):
        left = tuple(one for one in behind if not writes_to_console(one))
        if len(left) < len(behind):
            with suppress(Exception):
                listener.handlers = left
                return left
    if isinstance(handler, logging.handlers.MemoryHandler):
        target = _attribute(handler, "target")
        if target is not None and writes_to_console(target):
            handler.setTarget(None)
            return ()
    return None


def _attribute(owner: object, name: str) -> Any:
    """Return an attribute; None if it is missing or a property raises, because the handler is foreign code."""
    try:
        return getattr(owner, name, None)
    except Exception:
        return None


__all__ = ["loggers", "remove_all_console_handlers", "remove_console_handlers", "writes_to_console"]
