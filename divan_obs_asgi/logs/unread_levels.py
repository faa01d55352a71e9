"""Stops a library's logger from making records that nothing reads."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext

from divan_obs_asgi.logs.root_level import RootLevel

# The lock under which `logging` changes levels and empties the caches below; without a public name.
_lock: AbstractContextManager[object] = getattr(logging, "_lock", None) or nullcontext()


def disable_unread_level(record: logging.LogRecord, root: RootLevel) -> None:
    """
    Have the record's logger make no more records of this level, until any level is changed.

    For the flight recorder the root logger lets DEBUG lines through. A library that logs each SQL statement at DEBUG
    would otherwise make a record for each, with the place of its call, only for it to be dropped.

    A logger remembers in `_cache` which levels are enabled (Python 3.7 to 3.14), and `logging` empties all of these
    whenever a level changes. So the logger keeps its level, and does what it would do without a flight recorder.
    """
    logger = logging.root.manager.loggerDict.get(record.name)
    cache = getattr(logger, "_cache", None)
    if not isinstance(cache, dict):
        return
    with _lock:
        # Another thread may have changed the level since the record was made.
        if not root.writes(record):
            cache[record.levelno] = False


__all__ = ["disable_unread_level"]
