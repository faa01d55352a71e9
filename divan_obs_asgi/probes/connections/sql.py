"""A dedicated SQL connection, made in the way in which the application's pool makes its connections."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeAlias
from urllib.parse import urlsplit

from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.probes.connections.dedicated import Connection
from divan_obs_asgi.probes.connections.dns import NameResolver

# SQLAlchemy's dialects, and the names of their databases.
_DATABASES = {
    "postgresql": "postgres",
    "postgres": "postgres",
    "cockroachdb": "cockroachdb",
    "mariadb": "mariadb",
    "mssql": "mssql",
    "mysql": "mysql",
    "oracle": "oracle",
    "sqlite": "sqlite",
}
# Seconds that PostgreSQL has to close a connection in good order.
_CLOSE_S = 0.5


class SqlConnection(Connection, Protocol):
    async def scalar(self, query: str) -> Any:
        """Return the first column of the first row."""


ConnectionFactory: TypeAlias = Callable[[], SqlConnection]


def connection_factory(source: Any) -> ConnectionFactory:
    """
    Return a function that creates connections to the database of `source`.

    Raises:
        ImproperlyConfigured: if `source` is of an unknown kind.
    """
    resolver = NameResolver()
    if hasattr(source, "connect") and hasattr(source, "sync_engine"):
        return lambda: _engine_connection(source, resolver)
    if hasattr(source, "fetch_val"):
        return lambda: _database_connection(source, resolver)
    if hasattr(source, "fetchval"):
        return lambda: _pool_connection(source, resolver)
    raise ImproperlyConfigured(
        f"Not an SQL source: {type(source).__name__}; expected databases.Database, AsyncEngine or an asyncpg pool."
    )


def database_name(source: Any) -> str:
    """Return the name of the database that `source` connects to, like "postgres"; "sql" if that is unknown."""
    if hasattr(source, "sync_engine"):
        dialect = getattr(getattr(source, "dialect", None), "name", None)
    elif hasattr(source, "fetch_val"):
        dialect = getattr(getattr(source, "url", None), "dialect", None)
    else:
        dialect = "postgresql"  # asyncpg connects to PostgreSQL only.
    return _DATABASES.get(dialect, "sql") if isinstance(dialect, str) else "sql"


def _database_connection(database: Any, resolver: NameResolver) -> SqlConnection:
    # For PostgreSQL, `databases` keeps an asyncpg pool. For SQLite it keeps nothing: each query opens the file.
    pool = getattr(getattr(database, "_backend", None), "_pool", None)
    return _pool_connection(pool, resolver) if hasattr(pool, "fetchval") else _SourceConnection(database.fetch_val)


def _pool_connection(pool: Any, resolver: NameResolver) -> SqlConnection:
    # asyncpg has no public way to see how its pool connects. These attributes exist since 0.18, `_connect` since 0.30.
    arguments, keywords = getattr(pool, "_connect_args", None), getattr(pool, "_connect_kwargs", None)
    if arguments is None or keywords is None:
        return _SourceConnection(pool.fetchval)

    async def connect() -> Any:
        import asyncpg

        await resolver.look_up(host_of(*arguments, **keywords))
        return await getattr(pool, "_connect", asyncpg.connect)(*arguments, **keywords)

    return _AsyncpgConnection(connect)


def host_of(dsn: object = None, *_: object, **keywords: object) -> object:
    """Return the host that `asyncpg.connect` would look up with these arguments; None for several hosts."""
    host = keywords.get("host")
    if host is None and isinstance(dsn, str):
        try:
            parts = urlsplit(dsn)
            host = None if "," in parts.netloc else parts.hostname
        except ValueError:
            return None
    return host


class _AsyncpgConnection:
    """A connection of asyncpg outside of any pool."""

    def __init__(self, connect: Callable[[], Awaitable[Any]]) -> None:
        self._connect = connect
        self._connection: Any = None

    async def open(self) -> None:
        self._connection = await self._connect()

    async def scalar(self, query: str) -> Any:
        return await self._connection.fetchval(query)

    async def close(self) -> None:
        await self._connection.close(timeout=_CLOSE_S)

    async def drop(self) -> None:
        if self._connection is not None:
            # Not `close`: `terminate` does not contact the server, and stops asyncpg's attempt to cancel the query.
            self._connection.terminate()


def _engine_connection(engine: Any, resolver: NameResolver) -> SqlConnection:
    from sqlalchemy import text
    from sqlalchemy.engine import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine
    from sqlalchemy.pool import SingletonThreadPool, StaticPool

    async def scalar(query: str) -> Any:
        async with engine.connect() as connection:
            return (await connection.execute(text(query))).scalar()

    shared = engine.sync_engine
    if isinstance(shared.pool, (StaticPool, SingletonThreadPool)):
        return _SourceConnection(scalar)  # An in-memory database exists in its one connection only.
    # The application's dialect and events, with another pool.
    return _EngineConnection(AsyncEngine(Engine(shared.pool.recreate(), shared.dialect, shared.url)), resolver)


class _EngineConnection:
    """A connection of SQLAlchemy, from an engine of its own."""

    def __init__(self, engine: Any, resolver: NameResolver) -> None:
        self._engine = engine
        self._resolver = resolver
        self._connection: Any = None
        self._driver: Any = None

    async def open(self) -> None:
        await self._resolver.look_up(self._engine.url.host)
        self._connection = await self._engine.connect()
        self._driver = (await self._connection.get_raw_connection()).driver_connection

    async def scalar(self, query: str) -> Any:
        from sqlalchemy import text

        result = (await self._connection.execute(text(query))).scalar()
        # Otherwise the connection stays "idle in transaction" until the next check.
        await self._connection.rollback()
        return result

    async def close(self) -> None:
        await self._connection.close()
        await self._engine.dispose()

    async def drop(self) -> None:
        # Every other way to close an asyncpg connection waits for the server.
        terminate = getattr(self._driver, "terminate", None)
        if terminate is not None:
            terminate()
        if self._connection is not None:
            await self._connection.invalidate()
            await self._connection.close()
        await self._engine.dispose()


class _SourceConnection:
    """Runs queries on the application's source itself, where a dedicated connection is not possible."""

    def __init__(self, scalar: Callable[[str], Awaitable[Any]]) -> None:
        self._scalar = scalar

    async def scalar(self, query: str) -> Any:
        return await self._scalar(query)

    async def open(self) -> None:
        """Do nothing: nothing is kept open."""

    async def close(self) -> None:
        """Do nothing: nothing is kept open."""

    async def drop(self) -> None:
        """Do nothing: nothing is kept open."""


__all__ = ["ConnectionFactory", "SqlConnection", "connection_factory", "database_name", "host_of"]
