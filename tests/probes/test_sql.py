"""A real PostgreSQL through every kind of source, in every state that a service can find it in; and SQLite."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import anyio
import anyio.lowlevel
import anyio.to_thread
import asyncpg
import pytest
from databases import Database, DatabaseURL
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

import divan_obs_asgi as obs
from divan_obs_asgi.probes import SqlProbe
from divan_obs_asgi.probes.sql import DedicatedSqlClient
from tests.patience import PATIENCE_S
from tests.probes.leftovers import Open
from tests.servers.postgres import PostgresServer
from tests.stacks import Observed, run_on

Source: TypeAlias = Callable[[str], AbstractAsyncContextManager[object]]

# asyncpg is made for asyncio.
LOOPS = ("asyncio", "uvloop")


@asynccontextmanager
async def databases_database(url: str, **options: Any) -> AsyncIterator[Database]:
    # Without `min_size=0` PostgreSQL is connected here, and what is wrong with it is not for the probe to find.
    database = Database(url, **options)
    await database.connect()
    try:
        yield database
    finally:
        await database.disconnect()


@asynccontextmanager
async def asyncpg_pool(url: str, **options: Any) -> AsyncIterator[asyncpg.Pool]:
    pool = await asyncpg.create_pool(url, **{"min_size": 0, **options})
    try:
        yield pool
    finally:
        await pool.close()


@asynccontextmanager
async def sqlalchemy_engine(url: str, **options: Any) -> AsyncIterator[object]:
    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"), **options)
    try:
        yield engine
    finally:
        await engine.dispose()


@asynccontextmanager
async def lazy_database(url: str) -> AsyncIterator[Database]:
    async with databases_database(url, min_size=0) as database:
        yield database


SOURCES: dict[str, Source] = {"databases": lazy_database, "asyncpg": asyncpg_pool, "sqlalchemy": sqlalchemy_engine}
each_source = pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
each_loop = pytest.mark.parametrize("backend", LOOPS)


async def answer_of(observed: Observed) -> Mapping[str, object]:
    return (await observed.obs.probes.ask("ready")).checks["postgres"]


@asynccontextmanager
async def meanwhile(state: AbstractContextManager[None]) -> AsyncIterator[None]:
    """Put a server into a state by another thread, while the event loop turns and notices as in a service."""
    await anyio.to_thread.run_sync(state.__enter__)
    for _ in range(10):  # The ends of the connections are here already and want to be read.
        await anyio.lowlevel.checkpoint()
    try:
        yield
    finally:
        await anyio.to_thread.run_sync(state.__exit__, None, None, None)


async def check_once(source: object) -> Mapping[str, object]:
    probe = SqlProbe(source)
    try:
        return await probe.check()
    finally:
        await probe.aclose()


def run(backend: str, check: Callable[[], Awaitable[None]]) -> None:
    async def in_time() -> None:
        # The server of the session is shared: a driver that hangs must end this test and not the session.
        with anyio.fail_after(10 * PATIENCE_S):
            await check()

    run_on(backend, in_time)


@each_loop
@each_source
def test_a_database_that_answers_is_up(postgres_server: PostgresServer, source: Source, backend: str) -> None:
    """It answers SELECT 1, and the time it took is told."""
    observed = Observed()

    async def check() -> None:
        async with source(postgres_server.url) as database:
            observed.obs.probes.register(SqlProbe(database, timeout=PATIENCE_S))
            await answer_of(observed)  # Makes the connection, which costs more than the query.
            answer = await answer_of(observed)
            assert set(answer) == {"ok", "latency_ms"}
            assert answer["ok"] is True
            assert isinstance(answer["latency_ms"], int)
            assert answer["latency_ms"] < PATIENCE_S * 1e3

    run(backend, check)
    assert observed.value("divan_postgres_up") == 1.0
    assert observed.value("divan_postgres_latency_seconds_count") == 2.0


@each_loop
@each_source
def test_a_stopped_database_refuses_and_comes_back(
    postgres_server: PostgresServer, source: Source, backend: str
) -> None:
    """The connections of before are dead, new ones are refused, and the first check after the return passes."""
    observed = Observed()

    async def check() -> None:
        async with source(postgres_server.url) as database:
            # 3 s: a server that comes back replays its log first, and the machine of the tests may be busy.
            observed.obs.probes.register(SqlProbe(database, timeout=PATIENCE_S))
            assert (await answer_of(observed))["ok"] is True
            async with meanwhile(postgres_server.down()):
                for _ in ("the old connection", "a new one"):
                    answer = await answer_of(observed)
                    assert (answer["ok"], answer["reason"]) == (False, "refused")
                assert observed.value("divan_postgres_up") == 0.0
            assert (await answer_of(observed))["ok"] is True
            assert observed.value("divan_postgres_up") == 1.0

    run(backend, check)


@each_loop
@each_source
def test_a_connection_that_died_unnoticed_counts_as_refused(
    postgres_server: PostgresServer, source: Source, backend: str
) -> None:
    """The loop was busy when the server went away, and the probe is the first to use the connection again."""

    async def check() -> None:
        async with source(postgres_server.url) as database:
            observed = Observed()
            observed.obs.probes.register(SqlProbe(database, timeout=PATIENCE_S))
            assert (await answer_of(observed))["ok"] is True
            with postgres_server.down():
                assert (await answer_of(observed))["reason"] == "refused"

    run(backend, check)


@each_loop
@each_source
def test_a_paused_database_is_a_timeout(postgres_server: PostgresServer, source: Source, backend: str) -> None:
    """It costs the probe its timeout, on an old connection as on a new one, and nothing is left of it."""
    observed = Observed()

    async def check() -> None:
        async with source(postgres_server.url) as database:
            observed.obs.probes.register(SqlProbe(database, timeout=0.02))
            assert await check_once(database) == {}
            with postgres_server.paused():
                for _ in ("the old connection", "a new one"):
                    answer = await answer_of(observed)
                    assert (answer["ok"], answer["reason"]) == (False, "timeout")
                    assert isinstance(answer["latency_ms"], int)
                    assert 15 <= answer["latency_ms"] < PATIENCE_S * 1e3
            assert await check_once(database) == {}

    run(backend, check)


@each_source
def test_a_wrong_password_is_told_apart(postgres_server: PostgresServer, source: Source) -> None:
    """Waiting does not help, and the password that was tried is in no answer."""
    observed = Observed()

    async def check() -> None:
        async with source(postgres_server.url.replace(postgres_server.password, "hunter2")) as database:
            observed.obs.probes.register(SqlProbe(database, timeout=PATIENCE_S))
            answer = await answer_of(observed)
            assert (answer["ok"], answer["reason"]) == (False, "auth")
            assert "hunter2" not in str(answer)

    run("asyncio", check)


@each_source
def test_an_unknown_role_is_an_auth_failure(postgres_server: PostgresServer, source: Source) -> None:
    """PostgreSQL does not tell it from a wrong password, and neither does the probe."""

    async def check() -> None:
        async with source(postgres_server.url.replace(postgres_server.role, "nobody")) as database:
            with pytest.raises(obs.ProbeFailed, match=r"^auth$"):
                await SqlProbe(database).check()

    run("asyncio", check)


@each_source
def test_an_unknown_database_is_an_error(postgres_server: PostgresServer, source: Source) -> None:
    """The server is there and lets us in, and still cannot serve."""

    async def check() -> None:
        async with source(f"{postgres_server.url.rpartition('/')[0]}/nosuch") as database:
            with pytest.raises(obs.ProbeFailed, match=r"^error$"):
                await SqlProbe(database).check()

    run("asyncio", check)


LIMITED: dict[str, Source] = {
    "databases": lambda url: databases_database(url, min_size=1, max_size=1),
    "asyncpg": lambda url: asyncpg_pool(url, max_size=1),
    "sqlalchemy": lambda url: sqlalchemy_engine(url, pool_size=1, max_overflow=0),
}


@asynccontextmanager
async def all_taken(source: Any) -> AsyncIterator[None]:
    """Hold the one connection that a source of `LIMITED` has."""
    if isinstance(source, asyncpg.Pool):
        async with source.acquire():
            yield
    elif isinstance(source, Database):
        async with source.connection():
            yield
    else:
        async with source.connect():
            yield


async def backends(admin: asyncpg.Connection) -> set[int]:
    """Return the processes of PostgreSQL that serve somebody else."""
    rows = await admin.fetch(
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    return {row["pid"] for row in rows}


@asynccontextmanager
async def admin_of(url: str) -> AsyncIterator[asyncpg.Connection]:
    admin = await asyncpg.connect(url)
    try:
        yield admin
    finally:
        await admin.close()


@each_loop
@pytest.mark.parametrize("source", LIMITED.values(), ids=LIMITED.keys())
def test_the_connection_is_the_probes_own(postgres_server: PostgresServer, source: Source, backend: str) -> None:
    """A pool whose connections are all taken is not asked; one connection serves many checks, and is closed."""

    async def check() -> None:
        url = postgres_server.url
        async with admin_of(url) as admin, source(url) as database, all_taken(database):
            before = await backends(admin)
            probe = SqlProbe(database)
            for _ in range(5):
                with anyio.fail_after(PATIENCE_S):
                    assert await probe.check() == {}
            (own,) = await backends(admin) - before
            idle = "SELECT state FROM pg_stat_activity WHERE pid = $1"
            assert await admin.fetchval(idle, own) == "idle"  # and not in a transaction
            await probe.aclose()
            with anyio.fail_after(PATIENCE_S):
                while await backends(admin) != before:  # noqa: ASYNC110 - the server does not tell
                    await anyio.sleep(0.01)

    run(backend, check)


@each_loop
@each_source
def test_a_restart_between_two_checks_is_no_failure(
    postgres_server: PostgresServer, source: Source, backend: str
) -> None:
    """The server that is there now answers; the connection of before is of no matter."""

    async def check() -> None:
        async with source(postgres_server.url) as database:
            probe = SqlProbe(database)
            assert await probe.check() == {}
            async with meanwhile(postgres_server.down()):
                pass
            with anyio.fail_after(PATIENCE_S):
                assert await probe.check() == {}
            await probe.aclose()

    run(backend, check)


@each_loop
@each_source
def test_a_hanging_database_leaves_nothing_behind(
    postgres_server: PostgresServer, source: Source, backend: str
) -> None:
    """Thirty checks in a row that time out, as in a minute: no task, no open socket, no connection at the server."""

    async def check() -> None:
        async with admin_of(postgres_server.url) as admin, source(postgres_server.url) as database:
            probe = SqlProbe(database)
            connected, before = await backends(admin), Open.now()
            assert await probe.check() == {}
            with postgres_server.paused():
                for _ in range(30):
                    with anyio.move_on_after(0.02) as patience:
                        await probe.check()
                    assert patience.cancelled_caught
                await before.until_no_more()
            with anyio.fail_after(PATIENCE_S):
                while await backends(admin) != connected:  # noqa: ASYNC110 - the server does not tell
                    await anyio.sleep(0.01)
            await probe.aclose()

    run(backend, check)


@each_source
def test_an_old_connection_is_made_anew(postgres_server: PostgresServer, source: Source) -> None:
    """So a role that was locked is noticed, though PostgreSQL lets those go on who are connected already."""

    async def check() -> None:
        async with admin_of(postgres_server.url) as admin, source(postgres_server.url) as database:
            stays, renews = SqlProbe(database), SqlProbe(database, renew_s=0.0)
            assert await stays.check() == await renews.check() == {}
            await admin.execute(f"ALTER ROLE {postgres_server.role} PASSWORD 'another'")
            try:
                assert await stays.check() == {}
                with pytest.raises(obs.ProbeFailed, match=r"^auth$"):
                    await renews.check()
            finally:
                await admin.execute(f"ALTER ROLE {postgres_server.role} PASSWORD '{postgres_server.password}'")
            await stays.aclose()

    run("asyncio", check)


@each_source
def test_a_database_without_room_for_another_connection_is_up(postgres_server: PostgresServer, source: Source) -> None:
    """It answers those that it has; a probe that had let go of its own would take all instances out of rotation."""

    async def check() -> None:
        async with admin_of(postgres_server.url) as admin:
            await admin.execute("CREATE ROLE limited LOGIN PASSWORD 'limited'")
            try:
                url = postgres_server.url.replace(
                    f"{postgres_server.role}:{postgres_server.password}", "limited:limited"
                )
                async with source(url) as database:
                    probe, first = SqlProbe(database, renew_s=0.0), SqlProbe(database)
                    assert await probe.check() == {}
                    await admin.execute("ALTER ROLE limited CONNECTION LIMIT 0")
                    for _ in range(3):
                        assert await probe.check() == {}
                    with pytest.raises(obs.ProbeFailed, match=r"^error$"):
                        await first.check()
                    await probe.aclose()
            finally:
                await admin.execute("DROP ROLE limited")

    run("asyncio", check)


@each_loop
def test_sqlite_is_a_database_too(tmp_path: Path, backend: str) -> None:
    """Under a name of its own, it does not feed the series of PostgreSQL."""
    observed = Observed()

    async def check() -> None:
        async with databases_database(f"sqlite:///{tmp_path / 'divan.sqlite3'}") as database:
            observed.obs.probes.register(SqlProbe(database, timeout=PATIENCE_S))
            report = await observed.obs.probes.ask("ready")
            assert report.checks["sqlite"]["ok"] is True

    run(backend, check)
    assert observed.samples("divan_probe_up") == {(("name", "sqlite"),): 1.0}
    assert observed.value("divan_postgres_latency_seconds_count") == 0.0


@each_loop
@pytest.mark.parametrize("place", ["file", "memory"])
def test_sqlite_is_asked_through_sqlalchemy_too(tmp_path: Path, backend: str, place: str) -> None:
    """A database in memory is the application's own, whose one connection is asked and stays open."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'divan.sqlite3'}" if place == "file" else "sqlite+aiosqlite://"

    async def check() -> None:
        async with sqlalchemy_engine(url) as engine:
            await execute(engine, "CREATE TABLE rooms (name TEXT)")
            sql = DedicatedSqlClient(engine)
            for _ in range(2):
                assert await sql.scalar("SELECT count(*) FROM rooms") == 0
            await sql.aclose()
            await execute(engine, "INSERT INTO rooms VALUES ('lobby')")

    run(backend, check)


async def execute(engine: Any, statement: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(statement))


def test_a_file_that_is_no_database_is_an_error(tmp_path: Path) -> None:
    """SQLite opens anything, and finds out at the first query that reads it."""
    path = tmp_path / "divan.sqlite3"
    path.write_text("This is no SQLite database. " * 10)

    async def check() -> None:
        async with databases_database(f"sqlite:///{path}") as database:
            with pytest.raises(obs.ProbeFailed, match=r"^error$"):
                await DedicatedSqlClient(database).scalar("SELECT count(*) FROM sqlite_master")

    run("asyncio", check)


def test_a_database_that_was_never_connected_is_an_error() -> None:
    """Somebody forgot `await database.connect()`, and no server is asked."""
    database = Database("postgresql://db.internal/divan")
    with pytest.raises(obs.ProbeFailed, match=r"^error$"):
        anyio.run(SqlProbe(database).check)


def test_what_cannot_run_sql_is_a_start_up_error() -> None:
    """The error names what can."""
    expected = r"^Not an SQL source: str; expected databases\.Database, AsyncEngine or an asyncpg pool\.$"
    with pytest.raises(obs.ImproperlyConfigured, match=expected):
        SqlProbe("postgresql://db.internal/divan")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://db.internal/divan", "postgres"),
        ("postgresql+asyncpg://db.internal/divan", "postgres"),
        ("postgres://db.internal/divan", "postgres"),
        ("sqlite:///divan.sqlite3", "sqlite"),
        ("mysql+aiomysql://db.internal/divan", "mysql"),
    ],
)
def test_a_probe_is_called_by_what_its_database_is(url: str, name: str) -> None:
    """Nobody is told that a PostgreSQL is well which is not there."""
    database = type("Database", (), {"fetch_val": None, "url": DatabaseURL(url)})()
    assert SqlProbe(database).name == name
    assert SqlProbe(database, name="shop").name == "shop"


@pytest.mark.parametrize(
    ("dialect", "name"),
    [("postgresql", "postgres"), ("sqlite", "sqlite"), ("mssql", "mssql"), ("my own!", "sql"), (None, "sql")],
)
def test_an_engine_says_what_its_database_is(dialect: object, name: str) -> None:
    """By SQLAlchemy's name for the dialect; one that nobody knows is SQL."""
    engine = type("Engine", (), {"connect": None, "sync_engine": None, "dialect": SimpleNamespace(name=dialect)})()
    assert SqlProbe(engine).name == name
