"""
The tables of Divan, and the migrations that create them.

A migration is applied if its name is missing in `schema_migrations`, in the order below, each in a transaction. So a
database of the release that had only 0007 and 0008 gets all others afterwards, and 0008 stays the newest.
`0007-adopted` creates people, rooms and members from the messages in it.
"""

import logging
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from examples.divan.storage import Sql

logger = logging.getLogger(__name__)
_MARKS = "(room TEXT NOT NULL, reader TEXT NOT NULL, message_id BIGINT NOT NULL, PRIMARY KEY (room, reader))"
# In the order in which they apply; {key} is how the database numbers rows.
MIGRATIONS: Mapping[str, tuple[str, ...]] = {
    "0003": (
        "CREATE TABLE people (name TEXT PRIMARY KEY)",
        "CREATE TABLE invites (id {key}, sender TEXT NOT NULL, recipient TEXT NOT NULL, sent_at_ms BIGINT NOT NULL,"
        " accepted_at_ms BIGINT, UNIQUE (sender, recipient))",
    ),
    # One row for each pair: `low` is the name that Python sorts first.
    "0004": (
        "CREATE TABLE friendships (low TEXT NOT NULL, high TEXT NOT NULL, PRIMARY KEY (low, high))",
        "CREATE INDEX friendships_of_the_higher ON friendships (high)",
    ),
    "0005": (
        "CREATE TABLE rooms (name TEXT PRIMARY KEY)",
        "CREATE TABLE room_members (room TEXT NOT NULL, member TEXT NOT NULL, PRIMARY KEY (room, member))",
    ),
    "0006": ("CREATE TABLE activities (id {key}, owner TEXT NOT NULL, kind TEXT NOT NULL, completed_at_ms BIGINT)",),
    "0007": (
        "CREATE TABLE messages (id {key}, room TEXT NOT NULL, sender TEXT NOT NULL, text TEXT NOT NULL,"
        " sent_at_ms BIGINT NOT NULL)",
        "CREATE INDEX messages_of_a_room ON messages (room, id)",
    ),
    "0007-adopted": (
        "INSERT INTO people (name) SELECT DISTINCT sender FROM messages WHERE true ON CONFLICT DO NOTHING",
        "INSERT INTO rooms (name) SELECT DISTINCT room FROM messages WHERE true ON CONFLICT DO NOTHING",
        "INSERT INTO room_members (room, member) SELECT DISTINCT room, sender FROM messages WHERE true"
        " ON CONFLICT DO NOTHING",
    ),
    "0007-delivered": (f"CREATE TABLE delivery_marks {_MARKS}",),
    "0007-snapshots": (
        "CREATE TABLE lb_snapshots (period TEXT NOT NULL, scope TEXT NOT NULL, standings TEXT NOT NULL,"
        " PRIMARY KEY (period, scope))",
    ),
    "0008": (f"CREATE TABLE read_marks {_MARKS}",),
}
# The query of MigrationsProbe: the newest one, whatever the order of the rows.
NEWEST_MIGRATION = "SELECT max(version) FROM schema_migrations"
_KEYS = {"sqlite": "INTEGER PRIMARY KEY AUTOINCREMENT", "postgresql": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"}


async def migrate(database: Sql) -> None:
    """Apply the missing ones of `MIGRATIONS`; several workers may do so at once."""
    dialect = database.url.dialect
    if dialect == "sqlite":
        Path(database.url.database).parent.mkdir(parents=True, exist_ok=True)
        # Readers and the writer do not wait for each other then. It fails while another process has the file locked,
        # which is there to do the same.
        with suppress(sqlite3.OperationalError):
            await database.execute("PRAGMA journal_mode=WAL")
    async with database.changes():
        if dialect == "postgresql":
            # CREATE TABLE IF NOT EXISTS fails there when two sessions run it at the same moment. Any number will do, as
            # long as no other application of this database takes it for an advisory lock of its own.
            await database.execute("SELECT pg_advisory_xact_lock(8008)")
        await database.execute("CREATE TABLE IF NOT EXISTS schema_migrations (version TEXT PRIMARY KEY)")
    for version, statements in MIGRATIONS.items():
        async with database.changes():
            # The row comes first: it is the lock for which a second worker waits, and then finds the work done.
            row = "INSERT INTO schema_migrations (version) VALUES (:version) ON CONFLICT DO NOTHING RETURNING version"
            if await database.has(row, version=version):
                for statement in statements:
                    await database.execute(statement.format(key=_KEYS[dialect]))
                logger.info("migration %s applied", version)
