"""Handlers that write to standard output or standard error: beside the pipeline, a second copy, and not redacted."""

from __future__ import annotations

import logging
import logging.handlers
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any


def writes_to_console(handler: logging.Handler) -> bool:
    """Return whether a handler writes to this process's standard output or standard error, by whatever name."""
    stream = _attribute(handler, "stream")
    if stream is None:
        # rich's handler has a console, and that has the file.
        stream = _attribute(_attribute(handler, "console"), "file")
    if stream is None:
        return False
    if any(stream is one for one in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)):
        return True
    try:
        written_to = os.fstat(stream.fileno())
        # /dev/stdout, or the file that standard output was sent to, has another descriptor.
        return any(os.path.samestat(written_to, os.fstat(descriptor)) for descriptor in (1, 2))
    except Exception:
        return False  # Not a file, closed, or an object of somebody's own, which may raise anything.


def take_console_off(logger: logging.Logger) -> bool:
    """
    Take off a logger's handlers for the console, and those behind a queue or a buffer; return whether there were any.

    A logger that kept its records from the root logger because it wrote them itself passes them on from then on.
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


def take_all_consoles_off() -> list[str]:
    """Do it for each logger of the process; return the names of those that had one."""
    return [logger.name for logger in loggers() if logger.handlers and take_console_off(logger)]


def loggers() -> Iterator[logging.Logger]:
    """Yield the root logger and all others."""
    yield logging.root
    for logger in list(logging.root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger):
            yield logger


def _without_console(handler: logging.Handler) -> tuple[logging.Handler, ...] | None:
    """
    Take the console's handlers from behind this one; return the others there, or None where nothing was taken.

    A QueueHandler has its listener where Python 3.12, or Litestar, has made them together.
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
    """Return an attribute; None where there is none, or a property raises: the handler is another's."""
    try:
        return getattr(owner, name, None)
    except Exception:
        return None


__all__ = ["loggers", "take_all_consoles_off", "take_console_off", "writes_to_console"]
