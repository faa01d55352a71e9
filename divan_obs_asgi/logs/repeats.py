"""Recognises exceptions that a line has already reported: servers, asyncio and Socket.IO log them again."""

from __future__ import annotations

import copy
import logging
import sys
from functools import lru_cache

from divan_obs_asgi.logs.errors import SERVERS
from divan_obs_asgi.logs.libraries import is_file_of
from divan_obs_asgi.logs.raises import is_of_raise, raise_of

# The attribute of an exception with its reported raise. Most exceptions do not support weak references.
_KEY = "_divan_obs_reported"
# Maximum exceptions of a chain or a group.
_MAX_CHAIN = 50
# Loggers that compiled code uses: uvloop and granian. For other servers the file of the log call decides, because an
# application may use the logger of a server.
_REPEATERS = frozenset({"_granian", "asyncio"})
_GRANIAN = "_granian"
# The beginning of granian's line with a traceback as text.
_GRANIAN_ERROR = "Application callable raised an exception"
# An exception was set on a future, but never raised.
_NOT_RAISED = "Future exception was never retrieved"


def note_reported(error: BaseException) -> None:
    """Note that a line has reported `error`, its causes and contexts, and the members of groups."""
    for one in chain_of(error):
        vars(one)[_KEY] = raise_of(one)


def with_granian_exception(record: logging.LogRecord) -> logging.LogRecord:
    """Return granian's record with the exception, which granian logs as text while handling it."""
    error = sys.exc_info()[1]
    if (
        error is None
        or not isinstance(record.msg, str)
        or not record.msg.startswith(_GRANIAN_ERROR)
        or record.name.partition(".")[0] != _GRANIAN
    ):
        return record
    # A copy, because other handlers get the original record.
    record = copy.copy(record)
    record.msg = _GRANIAN_ERROR
    record.exc_info = type(error), error, error.__traceback__
    return record


def is_repeated(record: logging.LogRecord, error: BaseException) -> bool:
    """
    Return whether a server, asyncio or Socket.IO logs an exception that a line has already reported.

    If the object was raised again in the meantime, it is another failure.
    """
    if record.name.partition(".")[0] in _REPEATERS:
        if isinstance(record.msg, str) and record.msg.startswith(_NOT_RAISED):
            return False
    elif not _is_server_file(record.pathname):
        return False
    return _is_reported(error)


@lru_cache(maxsize=512)
def _is_server_file(path: str) -> bool:
    return is_file_of(path, *SERVERS, "engineio", "socketio")


def _is_reported(error: BaseException) -> bool:
    """Return whether an exception was reported; for a group, whether all of its members were."""
    noted = vars(error).get(_KEY)
    if noted is not None and is_of_raise(error, noted):
        return True
    return isinstance(error, BaseExceptionGroup) and all(map(_is_reported, error.exceptions))


def chain_of(error: BaseException) -> list[BaseException]:
    """Return an exception, its causes and contexts, and the members of groups among these."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting and len(found) < _MAX_CHAIN:
        one = waiting.pop()
        if one is None or any(one is known for known in found):
            continue
        found.append(one)
        waiting += [one.__cause__, None if one.__suppress_context__ else one.__context__]
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
    return found


__all__ = ["chain_of", "is_repeated", "note_reported", "with_granian_exception"]
