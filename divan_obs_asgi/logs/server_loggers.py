"""The loggers of servers and of Engine.IO, which have handlers and formats of their own."""

from __future__ import annotations

import logging
from collections.abc import Callable

from divan_obs_asgi.logs.libraries import is_handshake

# The last one is used by Channels' `runserver`, and by daphne there.
_ACCESS = ("uvicorn.access", "hypercorn.access", "gunicorn.access", "granian.access", "django.channels.server")
_HANDSHAKES = "uvicorn.error"
_SERVERS = ("uvicorn", "uvicorn.error", "uvicorn.asgi", "hypercorn.error", "gunicorn.error", "_granian")
_ENGINES = ("engineio.server", "socketio.server", "engineio.client", "socketio.client")


class ServerLoggerFilter(logging.Filter):
    """
    Makes the pipeline write the records of a server's logger, once.

    A logger calls its filters before its handlers. So it does not matter when a server sets its handlers: Engine.IO
    does that for its first server, hypercorn at its first line, and both may happen after the lifespan has begun.

    Args:
        is_installed: whether the root logger has a pipeline.
        is_unwanted: whether to drop a record, because the library's access line reports the same.
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
            _remove_stream_handlers(logger)
            logger = logger.parent
        return True


def adopt_server_loggers(is_installed: Callable[[], bool], *, own_access_line: bool) -> None:
    """
    Send the records of servers and Engine.IO to the root logger's handlers, once and in one format.

    Handlers for streams and files are removed; handlers that send records elsewhere stay. Of Engine.IO and
    python-socketio, only the handlers for standard error are removed, which they set themselves.

    Args:
        own_access_line: whether the library writes access lines; then those of servers are switched off.
    """
    for name in (*_ACCESS, *_SERVERS, *_ENGINES):
        logger = logging.getLogger(name)
        for earlier in [one for one in logger.filters if isinstance(one, ServerLoggerFilter)]:
            logger.removeFilter(earlier)
            if earlier.is_unwanted is _always:
                logger.disabled = False
        unwanted = _unwanted_of(name) if own_access_line else _never
        logger.addFilter(ServerLoggerFilter(is_installed, unwanted))
        _remove_stream_handlers(logger)
        if unwanted is _always:
            logger.disabled = True


def _unwanted_of(name: str) -> Callable[[logging.LogRecord], bool]:
    if name in _ACCESS:
        return _always
    # uvicorn's line for each WebSocket is an access line, but it is logged with the errors.
    return is_handshake if name == _HANDSHAKES else _never


def _always(record: logging.LogRecord) -> bool:
    return True


def _never(record: logging.LogRecord) -> bool:
    return False


def _remove_stream_handlers(logger: logging.Logger) -> None:
    for handler in list(logger.handlers):
        is_engines = logger.name in _ENGINES
        if type(handler) is logging.StreamHandler if is_engines else isinstance(handler, logging.StreamHandler):
            logger.removeHandler(handler)
    if not logger.propagate:
        logger.propagate = True


__all__ = ["ServerLoggerFilter", "adopt_server_loggers"]
