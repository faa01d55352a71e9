"""The loggers of servers and of Engine.IO, which bring handlers and a format of their own."""

from __future__ import annotations

import logging
from collections.abc import Callable

from divan_obs_asgi.logs.libraries import is_handshake

# The last is that of Channels' `runserver`, and daphne's there.
_ACCESS = ("uvicorn.access", "hypercorn.access", "gunicorn.access", "granian.access", "django.channels.server")
_HANDSHAKES = "uvicorn.error"
_SERVERS = ("uvicorn", "uvicorn.error", "uvicorn.asgi", "hypercorn.error", "gunicorn.error", "_granian")
_ENGINES = ("engineio.server", "socketio.server", "engineio.client", "socketio.client")


class Adopted(logging.Filter):
    """
    Has what a logger gets written by the pipeline only, and once.

    A logger asks its filters before its handlers. So it does not matter when a server sets its handlers up: Engine.IO
    does so where the first one is made, hypercorn at its first line, and both may come after the lifespan has begun.

    Args:
        is_installed: whether there is a pipeline at the root logger.
        is_unwanted: whether a record is dropped, because there is a line for each connection already.
    """

    def __init__(self, is_installed: Callable[[], bool], is_unwanted: Callable[[logging.LogRecord], bool]) -> None:
        super().__init__()
        self._is_installed = is_installed
        self.is_unwanted = is_unwanted

    def filter(self, record: logging.LogRecord) -> bool:
        if not self._is_installed():
            return True
        if self.is_unwanted(record):
            return False
        logger: logging.Logger | None = logging.getLogger(record.name)
        while logger is not None and logger is not logging.root:
            _release(logger)
            logger = logger.parent
        return True


def adopt_server_loggers(is_installed: Callable[[], bool], *, own_access_line: bool) -> None:
    """
    Have what servers and Engine.IO log go to the root logger's handlers, once and in one format.

    Only handlers that write to a stream or a file are taken off; one that sends records elsewhere stays. Of Engine.IO's
    and python-socketio's only those for standard error, which they set by themselves.

    Args:
        own_access_line: whether there is a line for each connection already; then theirs are switched off.
    """
    for name in (*_ACCESS, *_SERVERS, *_ENGINES):
        logger = logging.getLogger(name)
        for earlier in [one for one in logger.filters if isinstance(one, Adopted)]:
            logger.removeFilter(earlier)
            if earlier.is_unwanted is _anything:
                logger.disabled = False
        unwanted = _unwanted_of(name) if own_access_line else _nothing
        logger.addFilter(Adopted(is_installed, unwanted))
        _release(logger)
        if unwanted is _anything:
            logger.disabled = True


def _unwanted_of(name: str) -> Callable[[logging.LogRecord], bool]:
    if name in _ACCESS:
        return _anything
    # uvicorn's line for each WebSocket is an access line among those for errors.
    return is_handshake if name == _HANDSHAKES else _nothing


def _anything(record: logging.LogRecord) -> bool:
    return True


def _nothing(record: logging.LogRecord) -> bool:
    return False


def _release(logger: logging.Logger) -> None:
    for handler in list(logger.handlers):
        is_engines = logger.name in _ENGINES
        if type(handler) is logging.StreamHandler if is_engines else isinstance(handler, logging.StreamHandler):
            logger.removeHandler(handler)
    if not logger.propagate:
        logger.propagate = True


__all__ = ["Adopted", "adopt_server_loggers"]
