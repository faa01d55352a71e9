"""SqlProbe with a real PostgreSQL in many states, through every kind of source; and with SQLite."""

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

# asyncpg needs asyncio.
LOOPS = ("asyncio", "uvloop")


@asynccontextmanager
async def databases_database(url: str, **options: Any) -> AsyncIterator[Database]:
    # Without `min_size=0` the pool connects here, and would raise before the probe.
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
        # The server is shared by the session: a driver that hangs must fail this test only.
        with anyio.fail_after(10 * PATIENCE_S):
            await check()

    run_on(backend, in_time)


@each_loop
@each_source
def test_a_database_that_answers_is_up(postgres_server: PostgresServer, source: Source, backend: str) -> None:
    """It answers SELECT 1, and the response shows the latency."""
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
def test_a_stopped_database_is_refused_until_it_is_back(
    postgres_server: PostgresServer, source: Source, backend: str
) -> None:
    """The first check after its return passes."""
    observed = Observed()

    async def check() -> None:
        async with source(postgres_server.url) as database:
            # 3 s: a server replays its log at its start, and the machine may be busy.
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
def test_a_connection_that_was_lost_unnoticed_is_refused(
    postgres_server: PostgresServer, source: Source, backend: str
) -> None:
    """The loop was busy when the server stopped, and the probe is the first to use the connection again."""

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
    """It costs the probe its timeout, on an old and on a new connection, and leaves nothing behind."""
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
                    assert answer["latency_ms"] < PATIENCE_S * 1e3
            assert await check_once(database) == {}

    run(backend, check)


@each_source
def test_a_wrong_password_is_an_auth_failure(postgres_server: PostgresServer, source: Source) -> None:
    """The response does not contain the password."""
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
    """PostgreSQL reports it like a wrong password."""

    async def check() -> None:
        async with source(postgres_server.url.replace(postgres_server.role, "nobody")) as database:
            with pytest.raises(obs.ProbeFailed, match=r"^auth$"):
                await SqlProbe(database).check()

    run("asyncio", check)


@each_source
def test_an_unknown_database_is_an_error(postgres_server: PostgresServer, source: Source) -> None:
    """The server accepts the connection, but cannot serve."""

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
def test_the_connection_is_dedicated(postgres_server: PostgresServer, source: Source, backend: str) -> None:
    """An exhausted pool does not matter. One connection serves many checks, and is closed."""

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
                while await backends(admin) != before:  # noqa: ASYNC110 - no event is set
                    await anyio.sleep(0.01)

    run(backend, check)


@each_loop
@each_source
def test_a_restart_between_two_checks_passes(postgres_server: PostgresServer, source: Source, backend: str) -> None:
    """The new server answers on a new connection."""

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
    """Thirty timeouts in a row leave no task, no open socket and no connection at the server."""

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
                while await backends(admin) != connected:  # noqa: ASYNC110 - no event is set
                    await anyio.sleep(0.01)
            await probe.aclose()

    run(backend, check)


@each_source
def test_an_old_connection_is_replaced(postgres_server: PostgresServer, source: Source) -> None:
    """So a locked role is noticed, although PostgreSQL does not close its open connections."""

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
def test_a_database_at_its_connection_limit_is_up(postgres_server: PostgresServer, source: Source) -> None:
    """It serves the connections that it has. If the probe gave up its own, all instances would leave the rotation."""

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
def test_sqlite_passes(tmp_path: Path, backend: str) -> None:
    """It has its own name, and does not feed the series of PostgreSQL."""
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
def test_sqlite_through_sqlalchemy_passes(tmp_path: Path, backend: str, place: str) -> None:
    """A database in memory has one connection, which is used and stays open."""
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


def test_another_file_is_an_error(tmp_path: Path) -> None:
    """SQLite opens any file, and notices at the first query."""
    path = tmp_path / "divan.sqlite3"
    path.write_text("This is not an SQLite database. " * 10)

    async def check() -> None:
        async with databases_database(f"sqlite:///{path}") as database:
            with pytest.raises(obs.ProbeFailed, match=r"^error$"):
                await DedicatedSqlClient(database).scalar("SELECT count(*) FROM sqlite_master")

    run("asyncio", check)


def test_a_database_that_was_never_connected_is_an_error() -> None:
    """`await database.connect()` is missing."""
    database = Database("postgresql://db.internal/divan")
    with pytest.raises(obs.ProbeFailed, match=r"^error$"):
        anyio.run(SqlProbe(database).check)


def test_an_unknown_source_is_a_start_up_error() -> None:
    """The error names the sources that work."""
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
def test_the_default_name_is_the_databases(url: str, name: str) -> None:
    """So no other database is reported as PostgreSQL."""
    database = type("Database", (), {"fetch_val": None, "url": DatabaseURL(url)})()
    assert SqlProbe(database).name == name
    assert SqlProbe(database, name="shop").name == "shop"


@pytest.mark.parametrize(
    ("dialect", "name"),
    [("postgresql", "postgres"), ("sqlite", "sqlite"), ("mssql", "mssql"), ("my own!", "sql"), (None, "sql")],
)
def test_the_name_comes_from_sqlalchemys_dialect(dialect: object, name: str) -> None:
    """An unknown dialect is "sql"."""
    engine = type("Engine", (), {"connect": None, "sync_engine": None, "dialect": SimpleNamespace(name=dialect)})()
    assert SqlProbe(engine).name == name
