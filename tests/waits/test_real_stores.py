"""A request that waits for a real PostgreSQL, a real Redis or a real HTTP server says so."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import asyncpg
import httpx
import pytest
import redis.asyncio

from divan_obs_asgi.clients.patches import WaitTiming
from tests.runtime.test_pools import POOLS
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer
from tests.waits.test_causes import LEAST_MS, WAIT_S, line_of, waited_ms

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def timed_clients() -> Iterator[None]:
    """Calls of client libraries are timed, as after `init`."""
    timing = WaitTiming()
    timing.start()
    yield
    timing.stop()


@pytest.mark.parametrize("backend", ["asyncio", "uvloop"])
def test_a_slow_query_is_found(backend: str, postgres_server: PostgresServer) -> None:
    """The database sleeps."""

    async def work() -> None:
        connection = await asyncpg.connect(postgres_server.url)
        await connection.execute(f"SELECT pg_sleep({2 * WAIT_S})")
        await connection.close()

    assert waited_ms(line_of(work, backend), "sql") >= LEAST_MS


def test_a_full_pool_is_found(postgres_server: PostgresServer) -> None:
    """Its only connection is taken."""

    async def work() -> None:
        async with asyncpg.create_pool(postgres_server.url, min_size=1, max_size=1) as pool:
            taken = await pool.acquire()
            asyncio.get_running_loop().call_later(
                2 * WAIT_S, lambda: tasks.append(asyncio.ensure_future(pool.release(taken)))
            )
            tasks: list[Any] = []
            await pool.acquire()
            await asyncio.gather(*tasks)
            pool.terminate()

    assert waited_ms(line_of(work), "pool_ms") >= LEAST_MS


@pytest.mark.parametrize("kind", [kind for kind in POOLS if "refusing" not in kind])
def test_each_kind_of_full_pool_is_found(kind: str, postgres_server: PostgresServer, redis_server: RedisServer) -> None:
    """The time until the pool gives up, of threads too."""

    async def work() -> None:
        async with POOLS[kind][0](postgres_server.url, redis_server.url) as pool, pool.get():
            with pytest.raises(Exception):  # noqa: B017, PT011 - each library has its own
                await pool.get().__aenter__()

    assert line_of(work)["waited"]["pool_ms"] > 0


def test_a_blocking_command_of_redis_is_found(redis_server: RedisServer) -> None:
    """BLPOP of a list that stays empty."""

    async def work() -> None:
        async with redis.asyncio.from_url(redis_server.url) as client:
            await client.blpop(["divan:no_such_list"], timeout=1)

    assert waited_ms(line_of(work), "redis") >= LEAST_MS


def test_a_slow_http_server_is_found() -> None:
    """It answers late."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(2 * WAIT_S)
        writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    # Reading the certificates of authorities takes a second of the processor.
    client = httpx.AsyncClient(verify=False)

    async def work() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server, client:
            port = server.sockets[0].getsockname()[1]
            await client.get(f"http://127.0.0.1:{port}/")

    line = line_of(work)

    assert waited_ms(line, "http") >= LEAST_MS
    assert line["waited"]["http"]["n"] == 1
