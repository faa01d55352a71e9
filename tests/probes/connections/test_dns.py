"""A name server that hangs takes no thread from the application."""

from __future__ import annotations

import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
import pytest

import divan_obs_asgi as obs
from divan_obs_asgi.probes import HttpProbe, RedisProbe, SqlProbe, TcpProbe
from divan_obs_asgi.probes.connections.dns import NameResolver
from divan_obs_asgi.probes.connections.sql import host_of
from tests.patience import PATIENCE_S
from tests.stacks import Observed

HOST = "db.internal"
Making = Callable[[], AbstractAsyncContextManager[obs.probes.Probe]]


@asynccontextmanager
async def tcp() -> AsyncIterator[obs.probes.Probe]:
    yield TcpProbe(HOST, 25, name="asked", timeout=0.02)


@asynccontextmanager
async def http() -> AsyncIterator[obs.probes.Probe]:
    yield HttpProbe(f"http://{HOST}/", name="asked", timeout=0.02)


@asynccontextmanager
async def redis() -> AsyncIterator[obs.probes.Probe]:
    client = pytest.importorskip("redis.asyncio").Redis(host=HOST)
    yield RedisProbe(client, name="asked", timeout=0.02)
    await client.aclose()


@asynccontextmanager
async def asyncpg() -> AsyncIterator[obs.probes.Probe]:
    async with pytest.importorskip("asyncpg").create_pool(f"postgresql://{HOST}/divan", min_size=0) as pool:
        yield SqlProbe(pool, name="asked", timeout=0.02)


@asynccontextmanager
async def databases() -> AsyncIterator[obs.probes.Probe]:
    async with pytest.importorskip("databases").Database(f"postgresql://{HOST}/divan", min_size=0) as database:
        yield SqlProbe(database, name="asked", timeout=0.02)


@asynccontextmanager
async def sqlalchemy() -> AsyncIterator[obs.probes.Probe]:
    pytest.importorskip("asyncpg")
    engine = pytest.importorskip("sqlalchemy.ext.asyncio").create_async_engine(f"postgresql+asyncpg://{HOST}/divan")
    yield SqlProbe(engine, name="asked", timeout=0.02)
    await engine.dispose()


class NameServer:
    """Hangs when it is asked for one host, until the end of the test."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers = threading.Event()
        self._real: Callable[..., Any] = socket.getaddrinfo

    def __call__(self, host: object, *arguments: Any, **keywords: Any) -> Any:
        if host != HOST:
            return self._real(host, *arguments, **keywords)
        self.asked.append(threading.current_thread().name)
        self.answers.wait(30)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@pytest.fixture
def name_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    server = NameServer()
    monkeypatch.setattr(socket, "getaddrinfo", server)
    yield server
    server.answers.set()


@pytest.mark.slow
@pytest.mark.parametrize("making", [tcp, http, redis, asyncpg, databases, sqlalchemy])
def test_a_name_server_that_hangs_blocks_one_thread(making: Making, name_server: NameServer) -> None:
    """However many checks there are. The event loop's own threads stay free."""

    async def check() -> None:
        async with making() as probe:
            observed = Observed()
            observed.obs.probes.register(probe)
            while not name_server.asked:  # On a busy machine a check may be over before its thread has begun.
                await observed.obs.probes.ask("ready")
            for _ in range(5):
                assert (await observed.obs.probes.ask("ready")).checks["asked"]["reason"] == "timeout"
            assert len(name_server.asked) == 1
            assert not name_server.asked[0].startswith("asyncio")
            name_server.answers.set()
            with anyio.fail_after(PATIENCE_S):
                while (await observed.obs.probes.ask("ready")).checks["asked"]["reason"] != "refused":  # noqa: ASYNC110 - requests are tested
                    await anyio.sleep(0.01)

    anyio.run(check)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "fe80::1%eth0", "/run/postgresql", "", None, ["a", "b"], 5])
def test_only_names_are_looked_up(host: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not an address, a socket's path, or a list of hosts, which the library tries in turn."""

    def fails(*arguments: object) -> None:
        raise AssertionError("looked up")

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    anyio.run(NameResolver().look_up, host)


@pytest.mark.parametrize(
    ("arguments", "keywords", "host"),
    [
        (["postgresql://u:p@db.internal:5432/d"], {}, "db.internal"),
        ([], {"dsn": "postgresql://db.internal/d"}, "db.internal"),
        (["postgresql://db.internal/d"], {"host": "db2.internal"}, "db2.internal"),
        (["postgresql://[::1/d"], {}, None),
        (["postgresql://a.internal:1,b.internal:2/d"], {}, None),
        ([None], {"host": ["a.internal", "b.internal"]}, ["a.internal", "b.internal"]),
        ([], {}, None),
    ],
)
def test_the_host_of_a_pool_is_the_one_that_asyncpg_looks_up(
    arguments: list[Any], keywords: dict[str, Any], host: object
) -> None:
    """If it is not known, nothing is looked up before asyncpg does."""
    assert host_of(*arguments, **keywords) == host
