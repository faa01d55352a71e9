"""One connection of its own, made as the application's pool makes its connections, for every kind of source."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeAlias
from urllib.parse import urlsplit

from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.probes.connections.dedicated import Link
from divan_obs_asgi.probes.connections.dns import Names

# SQLAlchemy's dialects, and what their databases are called.
_KINDS = {
    "postgresql": "postgres",
    "postgres": "postgres",
    "cockroachdb": "cockroachdb",
    "mariadb": "mariadb",
    "mssql": "mssql",
    "mysql": "mysql",
    "oracle": "oracle",
    "sqlite": "sqlite",
}
# What PostgreSQL may take to say goodbye.
_CLOSE_S = 0.5


class SqlLink(Link, Protocol):
    async def scalar(self, query: str) -> Any:
        """Return the first column of the first row."""


Maker: TypeAlias = Callable[[], SqlLink]


def link_maker(source: Any) -> Maker:
    """
    Return what makes links to the database that `source` leads to.

    Raises:
        ImproperlyConfigured: where `source` is none of the kinds known.
    """
    names = Names()
    if hasattr(source, "connect") and hasattr(source, "sync_engine"):
        return lambda: _link_of_an_engine(source, names)
    if hasattr(source, "fetch_val"):
        return lambda: _link_of_a_database(source, names)
    if hasattr(source, "fetchval"):
        return lambda: _link_of_a_pool(source, names)
    raise ImproperlyConfigured(
        f"{type(source).__name__} is no SQL source; expected databases.Database, AsyncEngine or an asyncpg pool."
    )


def kind_of(source: Any) -> str:
    """Return what the database that `source` leads to is called; "sql" where the source does not say."""
    if hasattr(source, "sync_engine"):
        dialect = getattr(getattr(source, "dialect", None), "name", None)
    elif hasattr(source, "fetch_val"):
        dialect = getattr(getattr(source, "url", None), "dialect", None)
    else:
        dialect = "postgresql"  # An asyncpg pool speaks with nothing else.
    return _KINDS.get(dialect, "sql") if isinstance(dialect, str) else "sql"


def _link_of_a_database(database: Any, names: Names) -> SqlLink:
    # Of PostgreSQL, `databases` keeps an asyncpg pool; of SQLite nothing, each query opens the file by itself.
    pool = getattr(getattr(database, "_backend", None), "_pool", None)
    return _link_of_a_pool(pool, names) if hasattr(pool, "fetchval") else _Borrowed(database.fetch_val)


def _link_of_a_pool(pool: Any, names: Names) -> SqlLink:
    # asyncpg tells nobody how its pool connects; these have been there since 0.18, `_connect` since 0.30.
    arguments, keywords = getattr(pool, "_connect_args", None), getattr(pool, "_connect_kwargs", None)
    if arguments is None or keywords is None:
        return _Borrowed(pool.fetchval)

    async def connect() -> Any:
        import asyncpg

        await names.look_up(host_of(*arguments, **keywords))
        return await getattr(pool, "_connect", asyncpg.connect)(*arguments, **keywords)

    return _AsyncpgLink(connect)


def host_of(dsn: object = None, *_: object, **keywords: object) -> object:
    """Return the host that `asyncpg.connect` would look up with these arguments, where it is the only one."""
    host = keywords.get("host")
    if host is None and isinstance(dsn, str):
        try:
            parts = urlsplit(dsn)
            host = None if "," in parts.netloc else parts.hostname
        except ValueError:
            return None
    return host


class _AsyncpgLink:
    """A connection of asyncpg that is in no pool."""

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
            # Not `close`: asks nothing of the server, and ends asyncpg's attempt to have the query cancelled there.
            self._connection.terminate()


def _link_of_an_engine(engine: Any, names: Names) -> SqlLink:
    from sqlalchemy import text
    from sqlalchemy.engine import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine
    from sqlalchemy.pool import SingletonThreadPool, StaticPool

    async def scalar(query: str) -> Any:
        async with engine.connect() as connection:
            return (await connection.execute(text(query))).scalar()

    shared = engine.sync_engine
    if isinstance(shared.pool, (StaticPool, SingletonThreadPool)):
        return _Borrowed(scalar)  # A database in memory lives in its one connection.
    # The application's dialect and events, another pool.
    return _EngineLink(AsyncEngine(Engine(shared.pool.recreate(), shared.dialect, shared.url)), names)


class _EngineLink:
    """A connection of SQLAlchemy from an engine that is the link's own."""

    def __init__(self, engine: Any, names: Names) -> None:
        self._engine = engine
        self._names = names
        self._connection: Any = None
        self._driver: Any = None

    async def open(self) -> None:
        await self._names.look_up(self._engine.url.host)
        self._connection = await self._engine.connect()
        self._driver = (await self._connection.get_raw_connection()).driver_connection

    async def scalar(self, query: str) -> Any:
        from sqlalchemy import text

        result = (await self._connection.execute(text(query))).scalar()
        # Not idle in a transaction until the next check.
        await self._connection.rollback()
        return result

    async def close(self) -> None:
        await self._connection.close()
        await self._engine.dispose()

    async def drop(self) -> None:
        # asyncpg waits for its server wherever it is asked in a better way.
        terminate = getattr(self._driver, "terminate", None)
        if terminate is not None:
            terminate()
        if self._connection is not None:
            await self._connection.invalidate()
            await self._connection.close()
        await self._engine.dispose()


class _Borrowed:
    """Not a connection of its own: the source itself is asked."""

    def __init__(self, scalar: Callable[[str], Awaitable[Any]]) -> None:
        self._scalar = scalar

    async def scalar(self, query: str) -> Any:
        return await self._scalar(query)

    async def open(self) -> None:
        """Nothing is kept open."""

    async def close(self) -> None:
        """Nothing is kept open."""

    async def drop(self) -> None:
        """Nothing is kept open."""


__all__ = ["Maker", "SqlLink", "host_of", "kind_of", "link_maker"]
