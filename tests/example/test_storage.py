"""The stores of the reference backend: tables of old and new databases, full pools, and a PostgreSQL that stops."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from divan_obs_asgi import ImproperlyConfigured
from examples.divan.chat import page_of, store_message
from examples.divan.migrations import MIGRATIONS, migrate
from examples.divan.storage import database_of, number_of, redis_of
from examples.divan.unavailable import STORE_ERRORS
from tests.example.service import domain_series, readiness, running, sign_in
from tests.servers.postgres import PostgresServer

KEYS = {"sqlite": "INTEGER PRIMARY KEY AUTOINCREMENT", "postgresql": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"}
# What the first release has applied, as 0007 and 0008; and what somebody has said there.
OLD_STATEMENTS = (
    "CREATE TABLE schema_migrations (version TEXT PRIMARY KEY)",
    "CREATE TABLE messages ("
    "id {key}, room TEXT NOT NULL, sender TEXT NOT NULL, text TEXT NOT NULL, sent_at_ms BIGINT NOT NULL)",
    "CREATE INDEX messages_of_a_room ON messages (room, id)",
    "CREATE TABLE read_marks ("
    "room TEXT NOT NULL, reader TEXT NOT NULL, message_id BIGINT NOT NULL, PRIMARY KEY (room, reader))",
    "INSERT INTO schema_migrations (version) VALUES ('0007'), ('0008')",
    "INSERT INTO messages (room, sender, text, sent_at_ms) VALUES ('lobby', 'ada', 'Long ago', 1700000000000)",
)


@pytest.mark.anyio
async def test_several_workers_migrate_at_once(environ: dict[str, str]) -> None:
    """Workers that start together apply every migration once, and none of them fails."""
    databases = [database_of(environ) for _ in range(4)]
    for database in databases:
        await database.connect()
    await asyncio.gather(*map(migrate, databases))
    rows = await databases[0].fetch_all("SELECT version FROM schema_migrations ORDER BY version")
    assert [row["version"] for row in rows] == list(MIGRATIONS)
    assert list(MIGRATIONS) == sorted(MIGRATIONS)
    for database in databases:
        await database.disconnect()


@pytest.mark.anyio
async def test_a_database_of_the_first_release_comes_up(environ: dict[str, str]) -> None:
    """Its messages are read by who said them, who has a room and a name there; all that is new works."""
    database = database_of(environ)
    if database.url.dialect == "sqlite":
        Path(database.url.database).parent.mkdir(parents=True)
    async with database:
        for statement in OLD_STATEMENTS:
            await database.execute(statement.format(key=KEYS[database.url.dialect]))
    for _ in range(2):  # and once more, with nothing to do
        async with running(environ) as divan:
            ada, bob = await sign_in(divan, "ada"), await sign_in(divan, "bob")
            page = (await divan.get("/rooms/lobby/messages", headers=ada)).json()
            assert [(message["id"], message["text"]) for message in page["messages"]] == [(1, "Long ago")]
            assert (await divan.get("/rooms/lobby/messages", headers=bob)).status_code == 403
            assert (await divan.post("/invites", json={"to": "ada"}, headers=bob)).status_code in (200, 201)
            ready = (await readiness(divan)).json()
            assert ready["checks"]["migrations"] == {"ok": True, "version": "0008"}


@pytest.mark.anyio
async def test_a_full_pool_of_sql_is_a_503(real: dict[str, str]) -> None:
    """The wait for a connection ends, and the answer says to try again; nothing is counted."""
    environ = {**real, "DATABASE_POOL_SIZE": "1", "DATABASE_POOL_WAIT_S": "0.1", "HEALTH_INTERVAL_S": "3600"}
    async with running(environ) as divan:
        ada = await sign_in(divan, "ada")
        database = divan._transport.app.state.database  # type: ignore[attr-defined]
        async with database.connection():
            # In a task of its own, as a server's requests are: `databases` shares a connection within a task.
            answer = await asyncio.create_task(divan.post("/activities", json={"kind": "sport"}, headers=ada))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert (await divan.post("/activities", json={"kind": "sport"}, headers=ada)).status_code == 201
        assert await domain_series(divan) == {"activities_created_total{kind=sport}": 1.0}


@pytest.mark.anyio
async def test_a_connection_goes_back_to_its_pool_without_a_query(real: dict[str, str]) -> None:
    """Nothing is sent to PostgreSQL after a statement, but what a task has left open is rolled back."""
    database, other = database_of({**real, "DATABASE_POOL_SIZE": "1"}), database_of(real)
    last = "SELECT query || ', ' || state FROM pg_stat_activity WHERE pid = :pid"
    async with database, other:
        pid = await database.value("SELECT pg_backend_pid()")
        assert await other.value(last, pid=pid) == "SELECT pg_backend_pid(), idle"
        async with database.connection() as connection:
            await connection.raw_connection.execute("BEGIN")
        assert await other.value(last, pid=pid) == "ROLLBACK, idle"


@pytest.mark.anyio
async def test_a_full_pool_of_redis_is_a_503(real: dict[str, str]) -> None:
    """The same there; where it is the consumer that waits for events, nobody else waits for it."""
    environ = {**real, "REDIS_POOL_SIZE": "1", "REDIS_POOL_WAIT_S": "0.1", "HEALTH_INTERVAL_S": "3600"}
    async with running(environ) as divan:
        ada, place = await sign_in(divan, "ada"), {"lat": 41.085, "lon": 29.044}
        redis: Any = divan._transport.app.state.presence._redis  # type: ignore[attr-defined]
        connection = await redis.connection_pool.get_connection()
        answer = await divan.post("/presence/heartbeat", json=place, headers=ada)
        await redis.connection_pool.release(connection)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert (await divan.post("/presence/heartbeat", json=place, headers=ada)).status_code == 204
        assert await domain_series(divan) == {"presence_heartbeats_total{campus_id=north}": 1.0}


@pytest.mark.anyio
async def test_a_pool_outlives_a_stopped_postgres(real: dict[str, str], postgres_server: PostgresServer) -> None:
    """A connection that is lost in a transaction goes back to the pool: more failures than it has connections."""
    database = database_of({**real, "DATABASE_POOL_SIZE": "2"})
    async with database:
        await migrate(database)

        async def lose() -> None:
            async with database.changes():
                await store_message(database, "lobby", "ada", "lost")
                postgres_server.stop()
                try:
                    await store_message(database, "lobby", "ada", "lost, too")
                finally:
                    postgres_server.start()

        for _ in range(3):
            with pytest.raises(STORE_ERRORS):
                await lose()
        assert (await page_of(database, "lobby", 10, 2**63 - 1)).messages == []
        await store_message(database, "lobby", "ada", "Hello")


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "many"])
def test_a_bad_number_is_named(text: str) -> None:
    """A pool of no size, or a wait without an end, is refused at the start."""
    with pytest.raises(ImproperlyConfigured, match="REDIS_POOL_SIZE is"):
        redis_of({"REDIS_POOL_SIZE": text})
    assert number_of({"REDIS_POOL_SIZE": ""}, "REDIS_POOL_SIZE", 50) == 50
