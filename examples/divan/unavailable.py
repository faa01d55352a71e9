"""503 with Retry-After for a request whose store is stopped, or has no free connection."""

import logging
import sqlite3

from asyncpg.exceptions import DataError, InterfaceError, PostgresError
from fastapi import Request
from fastapi.responses import JSONResponse
from redis import exceptions as redis

logger = logging.getLogger(__name__)

TRY_AGAIN = "A store of Divan is out of reach or busy; try again in a second."
#: Exceptions of a store's client. OSError comes from connecting; TimeoutError, a subclass, from waiting for a pool.
STORE_ERRORS = (OSError, redis.RedisError, PostgresError, InterfaceError, sqlite3.OperationalError)

_REDIS = (redis.ConnectionError, redis.TimeoutError, redis.ReadOnlyError, redis.OutOfMemoryError)
# Responses that redis-py has no class for: no disk, no replica, a script that runs on, no master.
_REDIS_WORDS = ("MISCONF", "NOREPLICAS", "BUSY ", "MASTERDOWN", "CLUSTERDOWN")
# Of PostgreSQL: connection, authorization, resources, operator intervention; no such database; it only reads.
_SQL_STATES = ("08", "28", "53", "57", "3D000", "25006")
_SQLITE = ("BUSY", "LOCKED", "READONLY", "IOERR", "FULL", "CANTOPEN")


def is_unavailable(error: Exception) -> bool:
    """Return whether the store is out of service; False if it refused a command of ours."""
    if isinstance(error, redis.RedisError):
        return isinstance(error, _REDIS) or str(error).startswith(_REDIS_WORDS)
    if isinstance(error, PostgresError):
        return str(getattr(error, "sqlstate", "")).startswith(_SQL_STATES)
    if isinstance(error, sqlite3.OperationalError):
        return getattr(error, "sqlite_errorname", "").removeprefix("SQLITE_").startswith(_SQLITE)
    # The connection, or the pool, was closed: an InterfaceError; an argument of the wrong type is a DataError.
    return isinstance(error, (OSError, InterfaceError)) and not isinstance(error, DataError)


async def unavailable(request: Request, error: Exception) -> JSONResponse:
    """Respond 503 if a store is out of service; any other error is a fault of ours and becomes a 500."""
    if not is_unavailable(error):
        raise error
    logger.warning("a store is out of reach or busy: %s", type(error).__name__)
    return JSONResponse({"detail": TRY_AGAIN}, 503, headers={"Retry-After": "1"})
