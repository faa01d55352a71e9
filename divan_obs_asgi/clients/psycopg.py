"""Calls of psycopg 3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from divan_obs_asgi.clients.calls import Method, wrap_async, wrap_sync
from divan_obs_asgi.clients.description import Description, Descriptions, Server
from divan_obs_asgi.clients.pools import wrap_pool_async, wrap_pool_sync
from divan_obs_asgi.clients.sql import argument, size_of

# Asking libpq for these costs more than the rest of a span.
_servers: WeakKeyDictionary[Any, Server] = WeakKeyDictionary()


def _server_of(connection: Any) -> Server:
    known = _servers.get(connection)
    if known is None:
        info = connection.info
        known = _servers[connection] = Server("postgresql", info.dbname, info.host, info.port)
    return known


def _text_of(query: Any, cursor: Any) -> str:
    if isinstance(query, bytes):
        return query.decode("utf-8", "replace")
    # psycopg.sql.Composable
    as_string = getattr(query, "as_string", None)
    return str(query) if as_string is None else str(as_string(cursor))


def _statement(
    descriptions: Descriptions, client: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Description | None:
    query = argument(args, kwargs, 0, "query")
    return descriptions.statement(_server_of(client._conn), query if type(query) is str else _text_of(query, client))


def _many(descriptions: Descriptions, client: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Description:
    query, sets = argument(args, kwargs, 0, "query"), argument(args, kwargs, 1, "params_seq")
    return descriptions.statement(_server_of(client._conn), _text_of(query, client), size_of(sets))


METHODS = (
    Method("psycopg.Cursor", "execute", wrap_sync, "sql", _statement),
    Method("psycopg.Cursor", "executemany", wrap_sync, "sql", _many),
    Method("psycopg.AsyncCursor", "execute", wrap_async, "sql", _statement),
    Method("psycopg.AsyncCursor", "executemany", wrap_async, "sql", _many),
    Method("psycopg.ServerCursor", "execute", wrap_sync, "sql", _statement),
    Method("psycopg.AsyncServerCursor", "execute", wrap_async, "sql", _statement),
    *(Method("psycopg.Connection", name, wrap_sync, "sql") for name in ("commit", "rollback")),
    *(Method("psycopg.AsyncConnection", name, wrap_async, "sql") for name in ("commit", "rollback")),
    Method("psycopg_pool.ConnectionPool", "getconn", wrap_pool_sync, "pool"),
    Method("psycopg_pool.AsyncConnectionPool", "getconn", wrap_pool_async, "pool"),
)

__all__ = ["METHODS"]
