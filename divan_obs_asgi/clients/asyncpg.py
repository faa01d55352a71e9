"""
Calls of asyncpg, and of what is built on it: SQLAlchemy and `databases` over asyncpg.

Transactions are statements of the connection. A cursor's calls that only read its buffer are not patched.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from divan_obs_asgi.clients.calls import Method, wrap_async
from divan_obs_asgi.clients.description import Description, Descriptions, Server
from divan_obs_asgi.clients.pools import wrap_pool_async
from divan_obs_asgi.clients.sql import argument, size_of


@lru_cache(maxsize=256)
def _server(address: object, database: str) -> Server:
    # A tuple of host and port, or the path of a socket.
    if isinstance(address, tuple):
        return Server("postgresql", database, str(address[0]), int(address[1]))
    return Server("postgresql", database, str(address))


def _server_of(connection: Any) -> Server:
    return _server(connection._addr, connection._params.database or "")


def _statement(
    descriptions: Descriptions, client: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Description | None:
    statement = args[0] if args else kwargs["query"]
    # A pool resets each connection that it gets back; that is no call of the application.
    return None if statement is client._reset_query else descriptions.statement(_server_of(client), statement)


def _copy(descriptions: Descriptions, client: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Description:
    return descriptions.statement(_server_of(client), argument(args, kwargs, 0, "copy_stmt"))


def _many(descriptions: Descriptions, client: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Description:
    query, sets = argument(args, kwargs, 0, "command"), argument(args, kwargs, 1, "args")
    if query is None:
        query = kwargs["query"]
    return descriptions.statement(_server_of(client), query, size_of(sets))


def _prepared(descriptions: Descriptions, client: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Description:
    return descriptions.statement(_server_of(client._connection), client._query)


def _prepared_many(
    descriptions: Descriptions, client: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Description:
    sets = argument(args, kwargs, 0, "args")
    return descriptions.statement(_server_of(client._connection), client._query, size_of(sets))


_CONNECTION = "asyncpg.connection.Connection"
_STATEMENT = "asyncpg.prepared_stmt.PreparedStatement"
_CURSOR = "asyncpg.cursor.BaseCursor"
METHODS = (
    *(
        Method(_CONNECTION, name, wrap_async, "sql", _statement)
        for name in ("execute", "fetch", "fetchval", "fetchrow")
    ),
    *(Method(_CONNECTION, name, wrap_async, "sql", _many) for name in ("executemany", "fetchmany")),
    *(Method(_CONNECTION, name, wrap_async, "sql", _copy) for name in ("_copy_in", "_copy_out")),
    Method(_CONNECTION, "prepare", wrap_async, "sql"),
    *(Method(_STATEMENT, name, wrap_async, "sql", _prepared) for name in ("fetch", "fetchval", "fetchrow")),
    *(Method(_STATEMENT, name, wrap_async, "sql", _prepared_many) for name in ("executemany", "fetchmany")),
    *(Method(_CURSOR, name, wrap_async, "sql", _prepared) for name in ("_bind_exec", "_exec")),
    Method("asyncpg.pool.Pool", "_acquire", wrap_pool_async, "pool"),
)

__all__ = ["METHODS"]
