"""
The two stores: SQL for what must last, Redis for the present state.

DATABASE_URL and REDIS_URL name real ones; the default is a SQLite file in `.run` and a Redis in this process. The
number of connections is limited, and so is the wait for one; after it a request gets 503 (`unavailable`):

    REDIS_POOL_SIZE       50   connections of a process to Redis
    REDIS_POOL_WAIT_S     1    seconds for which a command waits for one of them
    DATABASE_POOL_SIZE    10   connections of a process to PostgreSQL
    DATABASE_POOL_WAIT_S  1    seconds for which a statement waits for one of them
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

from databases import Database
from databases.core import Connection
from redis.asyncio import BlockingConnectionPool, Redis

from divan_obs_asgi import ImproperlyConfigured

DEFAULT_DATABASE_URL = "sqlite:///.run/divan.sqlite3"
# Maximum seconds for a command, and for a connection attempt.
ANSWER_S, CONNECT_S = 5.0, 2.0
# SQLite locks for writing at once: reading first and writing later fails if another transaction writes in between.
_BEGIN = {"sqlite": "BEGIN IMMEDIATE", "postgresql": "BEGIN"}


class Sql(Database):
    """A database that raises TimeoutError if its pool has no connection for `wait_s` seconds."""

    def __init__(self, url: str, wait_s: float, **options: Any) -> None:
        super().__init__(url, **options)
        self.wait_s = wait_s

    def connection(self) -> Connection:
        if self._global_connection is None and not self._connection:
            self._connection = _PatientConnection(self, self._backend)
        return super().connection()

    async def value(self, statement: str, **values: object) -> Any:
        """Return the first value of the first row, or None without a row."""
        return await self.fetch_val(statement, values)

    async def has(self, statement: str, **values: object) -> bool:
        """Return whether there is a row; with RETURNING, whether one was written."""
        return await self.fetch_one(statement, values) is not None

    @asynccontextmanager
    async def changes(self) -> AsyncIterator[None]:
        """Commit the changes of the block; if it raises, roll back."""
        # `transaction` of databases 0.9 keeps the connection for ever where BEGIN, COMMIT or ROLLBACK fails, as they do
        # while the server is stopped: after as many failures as the pool has connections, it has none left.
        async with self.connection() as connection:
            driver = connection.raw_connection  # These need none of what `databases` does for a statement.
            await driver.execute(_BEGIN[self.url.dialect])
            try:
                yield
                await driver.execute("COMMIT")
            except BaseException:
                # If the connection is lost, the server rolls back by itself.
                with suppress(Exception):
                    await driver.execute("ROLLBACK")
                raise


class _PatientConnection(Connection):
    _database: Sql

    async def __aenter__(self) -> Self:
        async with asyncio.timeout(self._database.wait_s):
            await super().__aenter__()
        return self


def database_of(environ: Mapping[str, str]) -> Sql:
    """Return the database of DATABASE_URL, not yet connected; without it, a SQLite file in `.run`."""
    url = environ.get("DATABASE_URL") or DEFAULT_DATABASE_URL
    size = round(number_of(environ, "DATABASE_POOL_SIZE", 10))
    wait_s = number_of(environ, "DATABASE_POOL_WAIT_S", 1)
    if url.startswith("sqlite"):
        return Sql(url, 2 * ANSWER_S)  # It has no pool, and waits 5 s for its lock.
    pool = {"min_size": 1, "max_size": size, "timeout": CONNECT_S, "command_timeout": ANSWER_S}
    return Sql(url, wait_s, **pool, reset=_keep_session)


async def _keep_session(connection: object) -> None:
    """Save asyncpg's query after each use: no statement here changes a session, and asyncpg ends open transactions."""


def redis_of(environ: Mapping[str, str]) -> tuple[Redis, Redis]:
    """
    Return clients of REDIS_URL, not yet connected; without it, of a Redis inside this process.

    The second is for blocking reads, which would occupy a connection of the pool; it returns bytes.
    """
    size = round(number_of(environ, "REDIS_POOL_SIZE", 50))
    wait_s = number_of(environ, "REDIS_POOL_WAIT_S", 1)
    if url := environ.get("REDIS_URL"):
        limits: dict[str, Any] = {"socket_timeout": ANSWER_S, "socket_connect_timeout": CONNECT_S}
        options = {"max_connections": size, "timeout": wait_s, "decode_responses": True, **limits}
        return Redis.from_pool(BlockingConnectionPool.from_url(url, **options)), Redis.from_url(url, **limits)
    # Imported here, because a deployment with a real Redis does not install it.
    from fakeredis import FakeAsyncRedis, FakeServer

    server = FakeServer()
    return FakeAsyncRedis(server=server, decode_responses=True), FakeAsyncRedis(server=server)


def number_of(environ: Mapping[str, str], name: str, default: float) -> float:
    """Return a variable as a number of at least 0.001; raises `ImproperlyConfigured` if it is invalid."""
    text = environ.get(name) or str(default)
    with suppress(ValueError):
        if 0.001 <= float(text) <= 1e6:
            return float(text)
    raise ImproperlyConfigured(f"{name} is {text!r}; expected a number from 0.001 to 1000000.")
