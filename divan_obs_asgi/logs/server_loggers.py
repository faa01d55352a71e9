"""The loggers of the servers, which bring handlers and a format of their own."""

from __future__ import annotations

import logging

_ACCESS = ("uvicorn.access", "hypercorn.access", "gunicorn.access")
_OTHERS = ("uvicorn", "uvicorn.error", "uvicorn.asgi", "hypercorn.error", "gunicorn.error")


def adopt_server_loggers(*, own_access_line: bool) -> None:
    """
    Have what uvicorn, hypercorn and gunicorn log go to the root logger's handlers, once and in one format.

    Only handlers that write to a stream or a file are taken off; one that sends records elsewhere stays.

    Args:
        own_access_line: whether there is a line for each connection already; then theirs are switched off.
    """
    for name in (*_ACCESS, *_OTHERS):
        logger = logging.getLogger(name)
        for handler in list(logger.handlers):
            if isinstance(handler, logging.StreamHandler):
                logger.removeHandler(handler)
        logger.propagate = True
    if own_access_line:
        for name in _ACCESS:
            logging.getLogger(name).disabled = True


__all__ = ["adopt_server_loggers"]
