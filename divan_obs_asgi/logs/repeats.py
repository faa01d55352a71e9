"""Which exceptions a line has reported already: servers, asyncio and Socket.IO log them once more."""

from __future__ import annotations

import copy
import logging
import sys
from functools import lru_cache

from divan_obs_asgi.logs.errors import SERVERS
from divan_obs_asgi.logs.libraries import is_file_of
from divan_obs_asgi.logs.raises import is_of_raise, raise_of

# Where an exception carries which raise of it was reported. Few exceptions can be referred to weakly.
_KEY = "_divan_obs_reported"
# Exceptions of a chain or a group that are looked at.
_MAX_CHAIN = 50
# Loggers of code that is not Python's: uvloop's and granian's. An application may log by a server's logger, and knows
# why: of the others the file of the log call decides.
_REPEATERS = frozenset({"_granian", "asyncio"})
_GRANIAN = "_granian"
# How granian begins a line whose traceback is text.
_OF_AN_APPLICATION = "Application callable raised an exception"
# Somebody has set an exception, and nobody has raised it.
_NOT_RAISED = "Future exception was never retrieved"


def note_reported(error: BaseException) -> None:
    """Note that a line has been written about `error`, with what it was raised from and the members of a group."""
    for one in chain_of(error):
        vars(one)[_KEY] = raise_of(one)


def with_exception(record: logging.LogRecord) -> logging.LogRecord:
    """Return granian's line about an exception with that, which it has as text: it logs while it handles it."""
    error = sys.exc_info()[1]
    if (
        error is None
        or not isinstance(record.msg, str)
        or not record.msg.startswith(_OF_AN_APPLICATION)
        or record.name.partition(".")[0] != _GRANIAN
    ):
        return record
    # A copy: other handlers get what granian has logged.
    record = copy.copy(record)
    record.msg = _OF_AN_APPLICATION
    record.exc_info = type(error), error, error.__traceback__
    return record


def is_repeated(record: logging.LogRecord, error: BaseException) -> bool:
    """
    Return whether a server, asyncio or Socket.IO logs an exception about which a line was written already.

    An object that was raised anew since is another failure.
    """
    if record.name.partition(".")[0] in _REPEATERS:
        if isinstance(record.msg, str) and record.msg.startswith(_NOT_RAISED):
            return False
    elif not _is_of_a_server(record.pathname):
        return False
    return _is_reported(error)


@lru_cache(maxsize=512)
def _is_of_a_server(path: str) -> bool:
    return is_file_of(path, *SERVERS, "engineio", "socketio")


def _is_reported(error: BaseException) -> bool:
    """Return whether it was; of a group, in which a task group hands on exceptions, whether all members were."""
    noted = vars(error).get(_KEY)
    if noted is not None and is_of_raise(error, noted):
        return True
    return isinstance(error, BaseExceptionGroup) and all(map(_is_reported, error.exceptions))


def chain_of(error: BaseException) -> list[BaseException]:
    """Return an exception, what it was raised from, and the members of groups among these."""
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


__all__ = ["chain_of", "is_repeated", "note_reported", "with_exception"]
