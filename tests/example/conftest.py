"""The environments of the reference backend: its embedded stores, and real ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import httpx

    from tests.example.service import Backend


@pytest.fixture
def anyio_backend() -> str:
    """`databases` and redis-py are made for asyncio."""
    return "asyncio"


@pytest.fixture
def embedded(tmp_path: Path) -> dict[str, str]:
    """The environment of a backend on its embedded stores, which leaves the test session's logging alone."""
    return {
        "DATABASE_URL": f"sqlite:///{tmp_path / 'new' / 'divan.sqlite3'}",
        "HEALTH_MIN_MIGRATION": "0008",
        "OBS_ADMIN_TOKEN": "an-admin-token-for-tests",
        "OBS_LOGGING_ENABLED": "false",
        # A repeat is one however slow the machine is.
        "HEARTBEAT_PAUSE_S": "3600",
    }


@pytest.fixture
def real(request: pytest.FixtureRequest, embedded: dict[str, str]) -> Iterator[dict[str, str]]:
    """The environment of a backend on a real Redis and PostgreSQL."""
    from tests.example.service import empty_redis

    redis_url = request.getfixturevalue("redis_server").url.removesuffix("/0") + "/8"
    postgres = request.getfixturevalue("postgres_server")
    database_url = postgres.new_database()
    yield {**embedded, "REDIS_URL": redis_url, "DATABASE_URL": database_url}
    postgres.drop(database_url)
    asyncio.run(empty_redis(redis_url))


@pytest.fixture(params=["embedded", "real"])
def environ(request: pytest.FixtureRequest) -> dict[str, str]:
    """The environment of a backend, once on the embedded stores and once on real ones."""
    environ: dict[str, str] = request.getfixturevalue(request.param)
    return environ


@pytest.fixture
async def backend(request: pytest.FixtureRequest, environ: dict[str, str]) -> AsyncIterator[Backend]:
    """A backend in this process, whose stores can be taken down."""
    from tests.example.service import Backend, running

    async with running(environ) as client:
        yield Backend(client, environ, request)


@pytest.fixture
async def divan(environ: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a backend in this process."""
    from tests.example.service import running

    async with running(environ) as client:
        yield client
