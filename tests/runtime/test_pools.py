"""The pools of real client libraries, with a real PostgreSQL and a real Redis."""

# redis-py is only partly annotated.
# mypy: allow-untyped-calls

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import anyio
import asyncpg
import psycopg_pool
import pytest
import redis
import redis.asyncio
import redis.asyncio.cluster
import redis.cluster
import redis.exceptions
from databases import Database
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

import divan_obs_asgi as obs
from divan_obs_asgi.logs.errors import describe_error
from divan_obs_asgi.probes import RedisProbe, SqlProbe
from tests.patience import PATIENCE_S
from tests.servers.postgres import PostgresServer
from tests.servers.redis import ClusterServer, RedisServer
from tests.stacks import Observed

pytestmark = pytest.mark.slow

# How long an attempt waits at a pool that is full.
SHORT_S = 0.05


@pytest.fixture(autouse=True)
def forgotten_bundles() -> Iterator[None]:
    """No bundle of another test watches a pool."""
    gc.collect()
    yield
    gc.collect()


class Pool(NamedTuple):
    """
    What a service registers, whose pool has one connection at most.

    Attributes:
        get: gets a connection, and returns it when the context is left.
    """

    source: object
    get: Callable[[], Any]


@asynccontextmanager
async def sqlalchemy_pool(postgres: str, redis_url: str) -> AsyncIterator[Pool]:
    url = postgres.replace("postgresql", "postgresql+asyncpg")
    engine = create_async_engine(url, pool_size=1, max_overflow=0, pool_timeout=SHORT_S)
    yield Pool(engine, engine.connect)
    await engine.dispose()


@asynccontextmanager
async def sync_sqlalchemy_pool(postgres: str, redis_url: str) -> AsyncIterator[Pool]:
    url = postgres.replace("postgresql", "postgresql+psycopg")
    engine = create_engine(url, pool_size=1, max_overflow=0, pool_timeout=SHORT_S)
    yield Pool(engine, lambda: in_thread(engine.connect, lambda connection: connection.close()))
    engine.dispose()


@asynccontextmanager
async def asyncpg_pool(postgres: str, redis_url: str) -> AsyncIterator[Pool]:
    async with asyncpg.create_pool(postgres, min_size=1, max_size=1) as pool:
        yield Pool(pool, lambda: pool.acquire(timeout=SHORT_S))


@asynccontextmanager
async def databases_pool(postgres: str, redis_url: str) -> AsyncIterator[Pool]:
    async with Database(postgres, min_size=1, max_size=1) as database:

        @asynccontextmanager
        async def get() -> AsyncIterator[None]:
            pool: Any = database._backend._pool
            async with pool.acquire(timeout=SHORT_S):
                yield

        yield Pool(database, get)


@asynccontextmanager
async def psycopg_async_pool(postgres: str, redis_url: str) -> AsyncIterator[Pool]:
    async with psycopg_pool.AsyncConnectionPool(postgres, min_size=1, max_size=1, open=False) as pool:
        await pool.wait(PATIENCE_S)
        yield Pool(pool, lambda: pool.connection(timeout=SHORT_S))


@asynccontextmanager
async def psycopg_sync_pool(postgres: str, redis_url: str) -> AsyncIterator[Pool]:
    with psycopg_pool.ConnectionPool(postgres, min_size=1, max_size=1, open=False) as pool:
        pool.wait(PATIENCE_S)
        yield Pool(pool, lambda: in_thread(lambda: pool.getconn(timeout=SHORT_S), pool.putconn))


@asynccontextmanager
async def redis_pool(postgres: str, redis_url: str) -> AsyncIterator[Pool]:
    pool = redis.asyncio.BlockingConnectionPool.from_url(redis_url, max_connections=1, timeout=SHORT_S)
    yield Pool(redis.asyncio.Redis.from_pool(pool), lambda: of_redis(pool))
    await pool.disconnect()


@asynccontextmanager
async def refusing_redis_pool(postgres: str, redis_url: str) -> AsyncIterator[Pool]:
    pool = redis.asyncio.ConnectionPool.from_url(redis_url, max_connections=1)
    yield Pool(pool, lambda: of_redis(pool))
    await pool.disconnect()


@asynccontextmanager
async def sync_redis_pool(postgres: str, redis_url: str) -> AsyncIterator[Pool]:
    pool = redis.BlockingConnectionPool.from_url(redis_url, max_connections=1, timeout=SHORT_S)
    yield Pool(redis.Redis.from_pool(pool), lambda: in_thread(pool.get_connection, pool.release))
    pool.disconnect()


@asynccontextmanager
async def refusing_sync_redis_pool(postgres: str, redis_url: str) -> AsyncIterator[Pool]:
    pool = redis.ConnectionPool.from_url(redis_url, max_connections=1)
    yield Pool(pool, lambda: in_thread(pool.get_connection, pool.release))
    pool.disconnect()


@asynccontextmanager
async def in_thread(get: Callable[[], Any], give_back: Callable[[Any], object]) -> AsyncIterator[Any]:
    connection = await asyncio.to_thread(get)
    try:
        yield connection
    finally:
        await asyncio.to_thread(give_back, connection)


@asynccontextmanager
async def of_redis(pool: Any) -> AsyncIterator[Any]:
    connection = await pool.get_connection()
    try:
        yield connection
    finally:
        await pool.release(connection)


# Each kind of pool, and what it says when it is full; asyncpg's TimeoutError has no text.
POOLS: dict[str, tuple[Any, str]] = {
    "sqlalchemy": (sqlalchemy_pool, "QueuePool limit of size 1 overflow 0 reached, connection timed out, timeout 0.05"),
    "sqlalchemy-sync": (
        sync_sqlalchemy_pool,
        "QueuePool limit of size 1 overflow 0 reached, connection timed out, timeout 0.05",
    ),
    "asyncpg": (asyncpg_pool, "TimeoutError"),
    "databases": (databases_pool, "TimeoutError"),
    "psycopg": (psycopg_async_pool, "couldn't get a connection after 0.05 sec"),
    "psycopg-sync": (psycopg_sync_pool, "couldn't get a connection after 0.05 sec"),
    "redis": (redis_pool, "No connection available."),
    "redis-refusing": (refusing_redis_pool, "Too many connections"),
    "redis-sync": (sync_redis_pool, "No connection available."),
    "redis-sync-refusing": (refusing_sync_redis_pool, "Too many connections"),
}
of_each_kind = pytest.mark.parametrize("kind", POOLS)


def connections(observed: Observed, name: str = "main") -> tuple[float, float]:
    """Return how many connections are in use, and how many are idle."""
    series = "divan_pool_connections"
    return observed.value(series, pool=name, state="in_use"), observed.value(series, pool=name, state="idle")


@of_each_kind
def test_a_full_pool_is_seen(kind: str, postgres_server: PostgresServer, redis_server: RedisServer) -> None:
    """Its connections, its limit, the time waited and the failed attempt; the exception keeps its text."""
    observed = Observed()
    make, text = POOLS[kind]

    async def work() -> None:
        async with make(postgres_server.url, redis_server.url) as pool:
            observed.obs.pools.register("main", pool.source)
            async with pool.get():
                assert connections(observed) == (1, 0)
                assert observed.value("divan_pool_limit", pool="main") == 1
                assert observed.value("divan_pool_exhausted_total", pool="main") == 0
                with pytest.raises(Exception) as caught:  # noqa: PT011 - each library has its own
                    async with pool.get():
                        pass
            assert connections(observed) == (0, 1)
        described = describe_error(caught.value, obs.RedactionPolicy())
        assert text in described["traceback"]
        assert "[redacted" not in described["traceback"]

    anyio.run(work)
    assert observed.value("divan_pool_exhausted_total", pool="main") == 1
    assert observed.value("divan_pool_wait_seconds_count", pool="main") == 2
    assert observed.value("divan_pool_waiting", pool="main") == 0
    if "refusing" not in kind:
        assert observed.value("divan_pool_wait_seconds_sum", pool="main") >= SHORT_S * 0.9


def test_callers_that_wait_are_counted(postgres_server: PostgresServer) -> None:
    """Until they have their connection, or are cancelled."""
    observed = Observed()

    async def work() -> None:
        async with asyncpg.create_pool(postgres_server.url, min_size=1, max_size=1) as pool:
            observed.obs.pools.register("main", pool)
            async with pool.acquire():
                waiting = [asyncio.ensure_future(pool.fetchval("SELECT 1")) for _ in range(3)]
                await asyncio.sleep(0)
                assert observed.value("divan_pool_waiting", pool="main") == 3
                waiting[0].cancel()
                await asyncio.wait(waiting[:1])
                assert observed.value("divan_pool_waiting", pool="main") == 2
                assert observed.value("divan_pool_exhausted_total", pool="main") == 1
            await asyncio.gather(*waiting[1:])
            assert observed.value("divan_pool_waiting", pool="main") == 0
            assert observed.value("divan_pool_exhausted_total", pool="main") == 1

    anyio.run(work)


@pytest.fixture(scope="module")
def cluster() -> Iterator[list[ClusterServer]]:
    """Three nodes, each with a third of the slots."""
    servers = [ClusterServer().start() for _ in range(3)]
    for number, (server, first, last) in enumerate(zip(servers, (0, 5461, 10923), (5460, 10922, 16383), strict=True)):
        with redis.Redis(host=server.host, port=server.port) as node:
            node.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            node.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
            for other in servers[:number]:
                node.execute_command("CLUSTER", "MEET", other.host, other.port, other.bus_port)
    until = time.monotonic() + PATIENCE_S
    while not all(map(serves_all_slots, servers)):
        assert time.monotonic() < until, "the cluster is not complete"
    yield servers
    for server in servers:
        server.close()


def serves_all_slots(server: ClusterServer) -> bool:
    with redis.Redis(host=server.host, port=server.port) as node:
        return node.cluster("INFO")["cluster_state"] == "ok" and len(node.cluster("NODES")) == 3


# A key in each third of the slots.
KEYS = ("b", "c", "a")


def test_a_cluster_has_one_name_for_the_pools_of_its_nodes(cluster: list[ClusterServer]) -> None:
    """The values are sums, and a node that is full is enough for a caller without a connection."""
    observed = Observed()
    nodes = [redis.asyncio.cluster.ClusterNode(server.host, server.port) for server in cluster]

    async def work() -> None:
        async with redis.asyncio.RedisCluster(startup_nodes=nodes, max_connections=1) as client:
            observed.obs.pools.register("cluster", client)
            for key in KEYS:
                await client.set(key, "plain7")
            assert connections(observed, "cluster") == (0, 3)
            assert observed.value("divan_pool_limit", pool="cluster") == 3
            node = client.get_node_from_key("a")
            assert node is not None
            connection = node.acquire_connection()
            assert connections(observed, "cluster") == (1, 2)
            with pytest.raises(redis.exceptions.MaxConnectionsError):
                node.acquire_connection()
            assert observed.value("divan_pool_exhausted_total", pool="cluster") == 1
            node.release(connection)
            assert connections(observed, "cluster") == (0, 3)
            with pytest.raises(obs.ImproperlyConfigured, match="The pool 'other' is registered already, as 'cluster'"):
                observed.obs.pools.register("other", node)

    anyio.run(work)
    assert observed.value("divan_pool_wait_seconds_count", pool="cluster") >= 5
    assert observed.value("divan_pool_waiting", pool="cluster") == 0


def test_a_cluster_without_asyncio_has_one_name_too(cluster: list[ClusterServer]) -> None:
    """A node has a pool from its first command on."""
    observed = Observed()
    nodes = [redis.cluster.ClusterNode(server.host, server.port) for server in cluster]
    with redis.RedisCluster(startup_nodes=nodes, max_connections=2) as client:
        observed.obs.pools.register("cluster", client)
        for key in KEYS:
            client.set(key, "plain7")
        used, idle = connections(observed, "cluster")
        assert (used, observed.value("divan_pool_limit", pool="cluster")) == (0, 6)
        pool = client.get_redis_connection(client.get_node_from_key("a")).connection_pool
        taken = [pool.get_connection() for _ in range(2)]
        assert connections(observed, "cluster")[0] == 2
        with pytest.raises(redis.exceptions.ConnectionError):
            pool.get_connection()
        assert observed.value("divan_pool_exhausted_total", pool="cluster") == 1
        for connection in taken:
            pool.release(connection)
        assert idle >= 3


def test_a_cluster_that_is_not_connected_has_no_connections(cluster: list[ClusterServer]) -> None:
    """Its nodes are known later."""
    observed = Observed()
    client = redis.asyncio.RedisCluster(host=cluster[0].host, port=cluster[0].port)
    observed.obs.pools.register("cluster", client)
    assert observed.samples("divan_pool_connections") == observed.samples("divan_pool_limit") == {}


def test_a_probe_registers_the_pool_of_its_source(postgres_server: PostgresServer, redis_server: RedisServer) -> None:
    """By its own name, unless the service has given the pool a name."""
    observed = Observed()

    async def work() -> None:
        engine = create_async_engine(postgres_server.url.replace("postgresql", "postgresql+asyncpg"))
        client = redis.asyncio.Redis.from_url(redis_server.url)
        observed.obs.probes.register(SqlProbe(engine))
        observed.obs.probes.register(RedisProbe(client))
        observed.obs.pools.register("cache", client)
        async with engine.connect():
            assert observed.obs.pools.names() == ["cache", "postgres"]
            assert connections(observed, "postgres") == (1, 0)
            assert observed.value("divan_pool_limit", pool="postgres") == 15
        await engine.dispose()
        # The engine has a new pool.
        async with engine.connect():
            assert connections(observed, "postgres") == (1, 0)
            assert observed.value("divan_pool_wait_seconds_count", pool="postgres") >= 1
        await engine.dispose()
        await client.aclose()

    anyio.run(work)


def test_the_series_of_a_closed_pool_are_removed(postgres_server: PostgresServer) -> None:
    """And a database that is not connected yet has none."""
    observed = Observed()

    async def work() -> None:
        database = Database(postgres_server.url, min_size=2, max_size=3)
        observed.obs.pools.register("main", database)
        assert observed.samples("divan_pool_connections") == {}
        async with database:
            assert connections(observed) == (0, 2)
        assert observed.samples("divan_pool_connections") == observed.samples("divan_pool_limit") == {}

    anyio.run(work)


def test_a_pool_that_does_not_count_has_no_connections() -> None:
    """NullPool opens a connection for each caller; how long that takes is measured."""
    observed = Observed()
    engine = create_engine("sqlite://", poolclass=NullPool)
    observed.obs.pools.register("main", engine)
    engine.connect().close()
    assert observed.samples("divan_pool_connections") == observed.samples("divan_pool_limit") == {}
    assert observed.value("divan_pool_wait_seconds_count", pool="main") == 1


def test_an_invalid_registration_is_refused() -> None:
    """At once, with what is expected."""
    pools = Observed().obs.pools
    engine, other = create_engine("sqlite://", poolclass=NullPool), create_engine("sqlite://", poolclass=NullPool)
    pools.register("main", engine)
    for name, source, message in (
        ("main", other, "A pool named 'main' is registered already."),
        ("other", engine, "The pool 'other' is registered already, as 'main'."),
        ("other", engine.pool, "The pool 'other' is registered already, as 'main'."),
        ("user-17", other, "Invalid pool name 'user-17'; expected lower-case letters, digits and _, like 'main'."),
        ("other", object(), "Not a pool: object; expected an SQLAlchemy engine, databases.Database, an asyncpg pool,"),
    ):
        with pytest.raises(obs.ImproperlyConfigured) as caught:
            pools.register(name, source)
        assert str(caught.value).startswith(message)


def test_a_library_that_is_off_patches_nothing() -> None:
    """Pools may be registered all the same."""
    before = NullPool.connect
    pools = Observed({"OBS_ENABLED": "false"}).obs.pools
    pools.register("main", create_engine("sqlite://", poolclass=NullPool))
    assert NullPool.connect is before


PATCHED_AND_NOT = """
import gc
from sqlalchemy import NullPool, create_engine
import divan_obs_asgi as obs

before = NullPool.connect
bundle = obs.Observability.from_env({})
bundle.pools.register("main", create_engine("sqlite://", poolclass=NullPool))
assert NullPool.connect is not before
del bundle
gc.collect()
assert NullPool.connect is before
"""


def test_the_patch_ends_with_the_bundle() -> None:
    """Nothing of the process keeps it. In a process of its own: other tests may have bundles."""
    subprocess.run([sys.executable, "-c", PATCHED_AND_NOT], check=True)
