"""MigrationsProbe: the schema is new enough for the code."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from databases import Database
from hypothesis import given
from hypothesis import strategies as st

import divan_obs_asgi as obs
from divan_obs_asgi.probes import YOYO_QUERY, MigrationsProbe, django_query
from divan_obs_asgi.probes.migrations import _reaches
from tests.patience import PATIENCE_S
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
        ("0010_read_marks", "0008"),
        ("0008_read_marks", "0008_read_marks"),
        ("20261125_01_xyZ1b-rooms", "20261124_02"),
        ("1.10", "1.9"),
        ("0001", None),
        ("a4c1e5d2b7f0", None),
        ("a4c1e5d2b7f0", "a4c1e5d2b7f0"),
    ],
)
def test_a_new_enough_schema_passes_with_its_version(url: str, applied: str, minimum: str | None) -> None:
    """Numbers are compared as numbers. Without a minimum every version passes."""
    observed = Observed()

    async def check() -> obs.probes.Report:
        async with migrated_to(url, applied) as database:
            observed.obs.probes.register(MigrationsProbe(database, minimum, timeout=PATIENCE_S))
            return await observed.obs.probes.ask("ready")

    report = anyio.run(check)
    assert report.as_json() == {"status": "ok", "checks": {"migrations": {"ok": True, "version": applied}}}


@pytest.mark.parametrize(
    ("applied", "minimum"),
    [
        ("0007", "0008"),
        ("7", "0008"),
        ("9", "10"),
        ("0099", "0100"),
        ("0007_read_marks", "0008"),
        ("1.9", "1.10"),
        # Hashes have no order of their own.
        ("f4c1e5d2b7f0", "a4c1e5d2b7f0"),
        ("0009a4c1e5d2", "0008"),
        ("0009", "0008a4c1e5d2"),
    ],
)
def test_a_schema_that_is_too_old_is_outdated(url: str, applied: str, minimum: str) -> None:
    """The response shows the applied version."""
    observed = Observed()

    async def check() -> obs.probes.Report:
        async with migrated_to(url, applied) as database:
            observed.obs.probes.register(MigrationsProbe(database, minimum, timeout=PATIENCE_S))
            return await observed.obs.probes.ask("ready")

    report = anyio.run(check)
    assert report.as_json() == {
        "status": "fail",
        "checks": {"migrations": {"ok": False, "reason": "outdated", "version": applied}},
    }


@pytest.mark.parametrize("minimum", ["0008", None])
def test_a_database_without_a_migration_is_outdated(url: str, minimum: str | None) -> None:
    """The table exists, and nothing is applied yet."""
    observed = Observed()

    async def check() -> obs.probes.Report:
        async with migrated_to(url, None) as database:
            observed.obs.probes.register(MigrationsProbe(database, minimum, timeout=PATIENCE_S))
            return await observed.obs.probes.ask("ready")

    report = anyio.run(check)
    assert report.checks["migrations"] == {"ok": False, "reason": "outdated", "version": None}


REVISIONS = ("9b7e", "1f2a", "c3d4")


@pytest.mark.parametrize(
    ("applied", "ok"),
    [("9b7e", False), ("1f2a", True), ("c3d4", True), ("0000", True)],
    ids=["old", "it", "new", "newer"],
)
def test_hashes_compare_by_the_given_order(url: str, applied: str, ok: bool) -> None:
    """An id that is not in the order counts as newer: during a deployment the old instances stay ready."""
    observed = Observed()

    async def check() -> obs.probes.Report:
        async with migrated_to(url, applied) as database:
            observed.obs.probes.register(MigrationsProbe(database, "1f2a", order=REVISIONS, timeout=PATIENCE_S))
            return await observed.obs.probes.ask("ready")

    assert anyio.run(check).ok is ok


def test_a_minimum_that_is_not_in_the_order_is_a_start_up_error(url: str) -> None:
    """One of them has a typing error."""
    expected = r"^The minimum migration '1f2b' is not in the order given\.$"
    with pytest.raises(obs.ImproperlyConfigured, match=expected):
        MigrationsProbe(Database(url), "1f2b", order=REVISIONS)


# As Django 5.2 and yoyo 9.0 create them.
DJANGO_TABLE = """CREATE TABLE "django_migrations" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT,
    "app" varchar(255) NOT NULL, "name" varchar(255) NOT NULL, "applied" datetime NOT NULL)"""
YOYO_TABLE = """CREATE TABLE "_yoyo_migration" ("migration_hash" VARCHAR(64), "migration_id" VARCHAR(255),
    "applied_at_utc" TIMESTAMP, PRIMARY KEY ("migration_hash"))"""


def test_the_query_for_django_reads_one_app(url: str) -> None:
    """Each app has its own numbers."""

    async def check() -> None:
        async with Database(url) as database:
            await database.execute(DJANGO_TABLE)
            for app, name in (("chat", "0001_initial"), ("chat", "0010_read_marks"), ("auth", "0012_alter")):
                row = f"INSERT INTO django_migrations (app, name, applied) VALUES ('{app}', '{name}', '2026-11-25')"
                await database.execute(row)
            probe = MigrationsProbe(database, "0008", query=django_query("chat"))
            assert await probe.check() == {"version": "0010_read_marks"}
            with pytest.raises(obs.ProbeFailed, match=r"^outdated$"):
                await MigrationsProbe(database, "0001", query=django_query("rooms")).check()

    anyio.run(check)


@pytest.mark.parametrize("app", ["", "chat' OR '1'='1", "my app", "é"])
def test_an_invalid_app_label_is_a_start_up_error(app: str) -> None:
    """A label is a Python name, so it cannot end the query."""
    with pytest.raises(
        obs.ImproperlyConfigured, match=r"^Invalid Django app label .*; expected a label like 'chat'\.$"
    ):
        django_query(app)


def test_the_query_for_yoyo_reads_the_newest(url: str) -> None:
    """Its ids begin with a number, or with a date and a number."""

    async def check() -> None:
        async with Database(url) as database:
            await database.execute(YOYO_TABLE)
            for number, name in enumerate(("20261124_01_abCde-users", "20261125_01_xyZ1b-rooms")):
                await database.execute(f"INSERT INTO _yoyo_migration VALUES ('{number}', '{name}', '2026-11-25')")
            probe = MigrationsProbe(database, "20261124_02", query=YOYO_QUERY)
            assert await probe.check() == {"version": "20261125_01_xyZ1b-rooms"}

    anyio.run(check)


@given(
    st.lists(st.integers(0, 10**12), min_size=1, max_size=4), st.lists(st.integers(0, 10**12), min_size=1, max_size=4)
)
def test_versions_compare_number_by_number(one: list[int], other: list[int]) -> None:
    """Leading zeros, and any text between or after the numbers, do not matter."""
    written = "_".join(f"{number:04}" for number in one) + "-name"
    assert _reaches(written, ".".join(map(str, other)), None) is (one >= other)


def test_a_database_without_the_table_is_an_error(url: str) -> None:
    """The URL probably names the wrong database."""
    observed = Observed()

    async def check() -> obs.probes.Report:
        async with Database(url) as database:
            observed.obs.probes.register(MigrationsProbe(database, "0008", timeout=PATIENCE_S))
            return await observed.obs.probes.ask("ready")

    answer = anyio.run(check).checks["migrations"]
    assert (answer["ok"], answer["reason"]) == (False, "error")
    assert "version" not in answer


def test_another_table_needs_its_own_query(url: str) -> None:
    """Its version may be a number."""

    async def check() -> None:
        async with Database(url) as database:
            await database.execute("CREATE TABLE applied (version INTEGER NOT NULL)")
            await database.execute("INSERT INTO applied VALUES (9), (10), (8)")
            probe = MigrationsProbe(database, "0010", query="SELECT max(version) FROM applied")
            assert await probe.check() == {"version": "10"}

    anyio.run(check)


@pytest.mark.parametrize(("applied", "ok"), [("0008", True), ("0007", False)])
def test_postgresql_works_in_the_same_way(postgres_server: PostgresServer, applied: str, ok: bool) -> None:
    """With the minimum of the flag `HEALTH_MIN_MIGRATION`."""
    observed = Observed({"HEALTH_MIN_MIGRATION": "0008"})

    async def check() -> obs.probes.Report:
        async with migrated_to(postgres_server.url, applied) as database:
            minimum = observed.obs.settings.health.min_migration
            observed.obs.probes.register(MigrationsProbe(database, minimum, timeout=PATIENCE_S))
            return await observed.obs.probes.ask("ready")

    report = anyio.run(check)
    assert report.ok is ok
    assert report.checks["migrations"]["version"] == applied


@pytest.mark.slow
def test_a_stopped_database_is_refused(postgres_server: PostgresServer) -> None:
    """The response does not claim that the schema is old."""

    async def check() -> None:
        async with Database(postgres_server.url, min_size=0) as database:
            with postgres_server.down(), pytest.raises(obs.ProbeFailed, match=r"^refused$"):
                await MigrationsProbe(database, "0008").check()

    anyio.run(check)
