"""The two stores: SQL for what must last, Redis for what is true right now."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from databases import Database
from redis.asyncio import Redis

logger = logging.getLogger(__name__)

DEFAULT_DATABASE_URL = "sqlite:///.run/divan.sqlite3"

# In the order in which they apply; {key} is how the database numbers rows. Only these two phases keep anything in SQL.
MIGRATIONS: Mapping[str, tuple[str, ...]] = {
    "0007": (
        """
        CREATE TABLE messages (
            id {key}, room TEXT NOT NULL, sender TEXT NOT NULL, text TEXT NOT NULL, sent_at_ms BIGINT NOT NULL
        )
        """,
        "CREATE INDEX messages_of_a_room ON messages (room, id)",
    ),
    "0008": (
        """
        CREATE TABLE read_marks (
            room TEXT NOT NULL, reader TEXT NOT NULL, message_id BIGINT NOT NULL, PRIMARY KEY (room, reader)
        )
        """,
    ),
}
# What MigrationsProbe asks; the newest one, whatever the order of the rows.
NEWEST_MIGRATION = "SELECT max(version) FROM schema_migrations"
_KEYS = {
    "sqlite": "INTEGER PRIMARY KEY AUTOINCREMENT",
    "postgresql": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
}
# Any number will do, as long as no other application of this database takes it for its own advisory lock.
_MIGRATION_LOCK = 8008


def database_of(environ: Mapping[str, str]) -> Database:
    """Return the database of DATABASE_URL, not yet connected; without it, a SQLite file in `.run`."""
    return Database(environ.get("DATABASE_URL") or DEFAULT_DATABASE_URL)


def redis_of(environ: Mapping[str, str]) -> Redis:
    """Return a client of REDIS_URL, not yet connected; without it, of a Redis inside this process."""
    if url := environ.get("REDIS_URL"):
        return Redis.from_url(url, decode_responses=True)
    # Imported here, because a deployment with a real Redis does not install it.
    from fakeredis import FakeAsyncRedis, FakeServer

    return FakeAsyncRedis(server=FakeServer(), decode_responses=True)


@asynccontextmanager
async def opened(database: Database, redis: Redis) -> AsyncIterator[None]:
    """Connect both stores, bring the tables up to date, and close both in the end."""
    try:
        async with database:
            await migrate(database)
            yield
    finally:
        await redis.aclose()


async def migrate(database: Database) -> None:
    """Apply what is missing of `MIGRATIONS`; several workers may do so at once."""
    dialect = database.url.dialect
    if dialect == "sqlite":
        Path(database.url.database).parent.mkdir(parents=True, exist_ok=True)
        await _write_ahead(database)
    async with database.transaction():
        if dialect == "postgresql":
            # CREATE TABLE IF NOT EXISTS fails there when two sessions run it at the same moment.
            await database.execute(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
        await database.execute("CREATE TABLE IF NOT EXISTS schema_migrations (version TEXT PRIMARY KEY)")
    for version, statements in MIGRATIONS.items():
        await _apply(database, version, [statement.format(key=_KEYS[dialect]) for statement in statements])


async def _write_ahead(database: Database) -> None:
    """Have SQLite's readers and its writer not wait for each other."""
    patience = time.monotonic() + 10.0
    while True:
        try:
            await database.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            # Another worker does the same at this moment, and for this lock SQLite itself does not wait.
            if time.monotonic() > patience:
                raise
            await asyncio.sleep(0.02)


async def _apply(database: Database, version: str, statements: list[str]) -> None:
    async with database.transaction():
        # The row comes first: it is the lock for which a second worker waits, and then finds the work done.
        claimed = await database.fetch_one(
            "INSERT INTO schema_migrations (version) VALUES (:version) ON CONFLICT DO NOTHING RETURNING version",
            {"version": version},
        )
        if claimed is None:
            return
        for statement in statements:
            await database.execute(statement)
    logger.info("migration %s applied", version)
