"""
Calls of SQLAlchemy over drivers that are not patched themselves.

Over asyncpg, psycopg 3 and aiosqlite the driver's call is the one that gets the span and is timed.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from divan_obs_asgi.clients.calls import Describe, Library, Method, library, wrap_sync
from divan_obs_asgi.clients.description import Description, Descriptions, Server
from divan_obs_asgi.clients.pools import wrap_pool_sync
from divan_obs_asgi.connection.wait_times import Cause

# SQLAlchemy's names of the drivers that are patched themselves, and their libraries.
_DRIVERS = {"asyncpg": "asyncpg", "psycopg": "psycopg", "psycopg_async": "psycopg", "aiosqlite": "aiosqlite"}
# SQLAlchemy's names of databases where the conventions have others.
_SYSTEMS = {"mssql": "microsoft.sql_server", "oracle": "oracle.db"}
_KNOWN = frozenset({"postgresql", "mysql", "mariadb", "sqlite", "cockroachdb", "clickhouse", "trino"})
_servers: WeakKeyDictionary[Any, Server] = WeakKeyDictionary()


def _wrap_unpatched(plain: Any, ours: Library, cause: Cause, describe: Describe | None) -> Any:
    """Wrap a method of a connection; over a driver that is patched itself, call the plain one."""
    observed = wrap_sync(plain, ours, cause, describe)

    @functools.wraps(plain)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        driver = _DRIVERS.get(self.dialect.driver)
        # A driver that OBS_TRACING_CLIENTS leaves out makes no span.
        if driver is not None and (ours.spans is None or library(driver).spans is not None):
            return plain(self, *args, **kwargs)
        return observed(self, *args, **kwargs)

    return call


def _server_of(engine: Any) -> Server:
    known = _servers.get(engine)
    if known is None:
        name = engine.dialect.name
        system = _SYSTEMS.get(name, name if name in _KNOWN else "other_sql")
        url = engine.url
        # SQLite's database is a file, whose path can contain the names of people.
        database = "" if name == "sqlite" else url.database or ""
        known = _servers[engine] = Server(system, database, url.host or "", url.port)
    return known


def _executed(
    descriptions: Descriptions, client: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Description | None:
    context = args[1]
    batch = len(context.parameters) if context.executemany else None
    return descriptions.statement(_server_of(client.engine), context.statement or "", batch)


_CONNECTION = "sqlalchemy.engine.base.Connection"
METHODS = (
    Method(_CONNECTION, "_exec_single_context", _wrap_unpatched, "sql", _executed),
    Method(_CONNECTION, "_exec_insertmany_context", _wrap_unpatched, "sql", _executed),
    *(Method(_CONNECTION, name, _wrap_unpatched, "sql") for name in ("_commit_impl", "_rollback_impl")),
    Method("sqlalchemy.pool.base.Pool", "connect", wrap_pool_sync, "pool"),
)

__all__ = ["METHODS"]
