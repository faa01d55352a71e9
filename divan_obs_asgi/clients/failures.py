"""The status code that a database has answered a failed call with (`db.response.status_code`)."""

from __future__ import annotations

import re

# SQL:2023, section 24.1: two characters of class and three of subclass.
_SQLSTATE = re.compile(r"[0-9A-Z]{5}")
# The names of SQLite's codes: SQLITE_CONSTRAINT_UNIQUE.
_SQLITE = re.compile(r"SQLITE_[A-Z_]{2,40}")
# Prefixes of Redis' errors. A script can answer with any word, which may be data.
_REDIS_WORDS = """
ASK BUSY BUSYGROUP BUSYKEY CLUSTERDOWN CROSSSLOT ERR EXECABORT LOADING MASTERDOWN MISCONF MOVED NOAUTH NOGROUP NOPERM
NOREPLICAS NOSCRIPT NOTBUSY NOTREADY OOM READONLY TRYAGAIN UNBLOCKED UNKILLABLE WRONGPASS WRONGTYPE
"""
_REDIS = frozenset(_REDIS_WORDS.split())
_BY_TYPE = {
    "AskError": "ASK",
    "AuthenticationError": "WRONGPASS",
    "BusyLoadingError": "LOADING",
    "ClusterCrossSlotError": "CROSSSLOT",
    "ClusterDownError": "CLUSTERDOWN",
    "ExecAbortError": "EXECABORT",
    "MovedError": "MOVED",
    "NoPermissionError": "NOPERM",
    "NoScriptError": "NOSCRIPT",
    "OutOfMemoryError": "OOM",
    "ReadOnlyError": "READONLY",
    "TryAgainError": "TRYAGAIN",
}


def status_code(error: BaseException) -> str | None:
    """Return the code, or None if the server has not answered or the code is unknown."""
    # SQLAlchemy wraps the driver's exception.
    origin = getattr(error, "orig", None)
    source = origin if isinstance(origin, BaseException) else error
    for attribute in ("sqlstate", "pgcode"):
        found = getattr(source, attribute, None)
        if isinstance(found, str) and _SQLSTATE.fullmatch(found):
            return found
    found = getattr(source, "sqlite_errorname", None)
    if isinstance(found, str) and _SQLITE.fullmatch(found):
        return found
    kind = type(source)
    if kind.__module__.partition(".")[0] == "redis":
        return _BY_TYPE.get(kind.__name__) or _prefix(source)
    return None


def _prefix(error: BaseException) -> str | None:
    word = str(error).partition(" ")[0]
    if word in _REDIS:
        return word
    # redis-py removes this prefix. A word in capitals may come from a script.
    return "ERR" if type(error).__name__ == "ResponseError" and not word.isupper() else None


__all__ = ["status_code"]
