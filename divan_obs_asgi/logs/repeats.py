"""Which exceptions a line has reported already: servers, asyncio and Socket.IO log them once more."""

from __future__ import annotations

import logging
import time
from functools import lru_cache

from divan_obs_asgi.logs.errors import SERVERS
from divan_obs_asgi.logs.libraries import is_file_of

# Where an exception carries when it was reported. Few exceptions can be referred to weakly.
_KEY = "_divan_obs_reported_at"
# Seconds in which another line about it is the same failure: some raise one exception object again and again.
_SAME_S = 60.0
# Exceptions of a chain or a group that are looked at.
_MAX_CHAIN = 50
# Loggers of code that is not Python's: uvloop's and granian's. An application may log by a server's logger, and knows
# why: of the others the file of the log call decides.
_REPEATERS = frozenset({"_granian", "asyncio"})


def note_reported(error: BaseException) -> None:
    """Note that a line has been written about `error`, with what it was raised from and the members of a group."""
    now = time.monotonic()
    for one in _chain(error):
        vars(one)[_KEY] = now


def is_repeated(record: logging.LogRecord, error: BaseException) -> bool:
    """Return whether a server, asyncio or Socket.IO logs an exception about which a line was written already."""
    if record.name not in _REPEATERS and not _is_of_a_server(record.pathname):
        return False
    return _is_reported(error, time.monotonic() - _SAME_S)


@lru_cache(maxsize=512)
def _is_of_a_server(path: str) -> bool:
    return is_file_of(path, *SERVERS, "engineio", "socketio")


def _is_reported(error: BaseException, since: float) -> bool:
    """Return whether it was; of a group, in which a task group hands on exceptions, whether all members were."""
    if vars(error).get(_KEY, since) > since:
        return True
    return isinstance(error, BaseExceptionGroup) and all(_is_reported(member, since) for member in error.exceptions)


def _chain(error: BaseException) -> list[BaseException]:
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


__all__ = ["is_repeated", "note_reported"]
