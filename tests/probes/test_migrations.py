"""Whether the schema is new enough for the code."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from databases import Database

import divan_obs_asgi as obs
from divan_obs_asgi.probes import MigrationsProbe
from tests.servers.postgres import PostgresServer
from tests.stacks import Observed


@asynccontextmanager
async def migrated_to(url: str, version: str | None, kind: str = "VARCHAR(32)") -> AsyncIterator[Database]:
    """Give a database as Alembic leaves it; None stands for a table without a row."""
    async with Database(url) as database:
        await database.execute(f"CREATE TABLE alembic_version (version_num {kind} NOT NULL)")
        try:
            if version is not None:
                value = f"'{version}'" if kind.startswith("VARCHAR") else version
                await database.execute(f"INSERT INTO alembic_version VALUES ({value})")
            yield database
        finally:
            await database.execute("DROP TABLE alembic_version")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'divan.sqlite3'}"


@pytest.mark.parametrize(
    ("applied", "minimum"),
    [
        ("0008", "0008"),
        ("0009", "0008"),
        ("0010", "0008"),
        ("8", "0008"),
        ("0008", "8"),
        ("10", "9"),
        ("2026_11_24", "2026_11_23"),
        ("0001", None),
        ("a4c1e5d2b7f0", None),
    ],
)
def test_a_schema_that_is_new_enough_tells_its_version(url: str, applied: str, minimum: str | None) -> None:
    """Numbers are compared as numbers; without a minimum every version will do."""
    observed = Observed()

    async def check() -> obs.probes.Report:
        async with migrated_to(url, applied) as database:
            observed.obs.probes.register(MigrationsProbe(database, minimum))
            return await observed.obs.probes.ask("ready")

    report = anyio.run(check)
    assert report.as_json() == {"status": "ok", "checks": {"migrations": {"ok": True, "version": applied}}}


@pytest.mark.parametrize(("applied", "minimum"), [("0007", "0008"), ("7", "0008"), ("9", "10"), ("0099", "0100")])
def test_a_schema_that_is_too_old_is_outdated(url: str, applied: str, minimum: str) -> None:
    """The answer says which version is applied, so that nobody has to look it up."""
    observed = Observed()

    async def check() -> obs.probes.Report:
        async with migrated_to(url, applied) as database:
            observed.obs.probes.register(MigrationsProbe(database, minimum))
            return await observed.obs.probes.ask("ready")

    report = anyio.run(check)
    assert report.as_json() == {
        "status": "fail",
        "checks": {"migrations": {"ok": False, "reason": "outdated", "version": applied}},
    }


@pytest.mark.parametrize("minimum", ["0008", None])
def test_a_database_without_a_migration_is_outdated(url: str, minimum: str | None) -> None:
    """The table is there, and nothing has been applied yet."""
    observed = Observed()

    async def check() -> obs.probes.Report:
        async with migrated_to(url, None) as database:
            observed.obs.probes.register(MigrationsProbe(database, minimum))
            return await observed.obs.probes.ask("ready")

    report = anyio.run(check)
    assert report.checks["migrations"] == {"ok": False, "reason": "outdated", "version": None}


def test_a_database_that_knows_no_migrations_is_an_error(url: str) -> None:
    """Without the table somebody points at the wrong database."""
    observed = Observed()

    async def check() -> obs.probes.Report:
        async with Database(url) as database:
            observed.obs.probes.register(MigrationsProbe(database, "0008"))
            return await observed.obs.probes.ask("ready")

    answer = anyio.run(check).checks["migrations"]
    assert (answer["ok"], answer["reason"]) == (False, "error")
    assert "version" not in answer


def test_a_table_of_ones_own_is_asked_by_its_own_query(url: str) -> None:
    """Not everybody uses Alembic, and a version may be a number."""

    async def check() -> None:
        async with Database(url) as database:
            await database.execute("CREATE TABLE applied (version INTEGER NOT NULL)")
            await database.execute("INSERT INTO applied VALUES (9), (10), (8)")
            probe = MigrationsProbe(database, "0010", query="SELECT max(version) FROM applied")
            assert await probe.check() == {"version": "10"}

    anyio.run(check)


@pytest.mark.parametrize(("applied", "ok"), [("0008", True), ("0007", False)])
def test_postgresql_is_asked_in_the_same_way(postgres_server: PostgresServer, applied: str, ok: bool) -> None:
    """Also where the minimum comes from the flag `HEALTH_MIN_MIGRATION`."""
    observed = Observed({"HEALTH_MIN_MIGRATION": "0008"})

    async def check() -> obs.probes.Report:
        async with migrated_to(postgres_server.url, applied) as database:
            minimum = observed.obs.settings.health_min_migration
            observed.obs.probes.register(MigrationsProbe(database, minimum, timeout=3.0))
            return await observed.obs.probes.ask("ready")

    report = anyio.run(check)
    assert report.ok is ok
    assert report.checks["migrations"]["version"] == applied


def test_a_stopped_database_refuses(postgres_server: PostgresServer) -> None:
    """Whether the schema is old cannot be told then, and the answer does not claim it."""

    async def check() -> None:
        async with Database(postgres_server.url, min_size=0) as database:
            with postgres_server.down(), pytest.raises(obs.ProbeFailed, match=r"^refused$"):
                await MigrationsProbe(database, "0008").check()

    anyio.run(check)
