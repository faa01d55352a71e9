"""RedisProbe with more than one server: Sentinel, and a cluster."""

# redis-py is only partly annotated.
# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Iterator

import anyio
import pytest
from redis.asyncio import Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

import divan_obs_asgi as obs
from divan_obs_asgi.probes import RedisProbe
from tests.patience import PATIENCE_S
from tests.servers.redis import ClusterServer, RedisServer, SentinelServer

MASTER = "divan"


@pytest.fixture
def master() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server.start()
    server.close()


@pytest.fixture
def sentinel_server(master: RedisServer) -> Iterator[SentinelServer]:
    server = SentinelServer(master, MASTER)
    yield server.start()
    server.close()


@pytest.fixture
def cluster_server() -> Iterator[ClusterServer]:
    server = ClusterServer()
    yield server.start()
    server.close()


def test_the_master_of_a_sentinel_is_checked(master: RedisServer, sentinel_server: SentinelServer) -> None:
    """A dead master is refused, and passes again when it is back."""

    async def check() -> None:
        sentinel = Sentinel([(sentinel_server.host, sentinel_server.port)])
        client = sentinel.master_for(MASTER)
        probe = RedisProbe(client)
        assert await probe.check() == {}
        with master.down(), pytest.raises(obs.ProbeFailed, match=r"^refused$"):
            await probe.check()
        assert await probe.check() == {}
        await probe.aclose()
        await client.aclose()
        await close(sentinel)

    anyio.run(check)


@pytest.mark.parametrize("given", [{}, {"password": "wrong"}], ids=["none", "wrong"])
def test_a_sentinel_that_rejects_the_password_is_an_auth_failure(master: RedisServer, given: dict[str, str]) -> None:
    """Not a Sentinel that is down, although redis-py reports both as a master that it did not find."""
    server = SentinelServer(master, MASTER, password="the right one")
    server.start()

    async def check() -> None:
        at_once = {"retry": Retry(NoBackoff(), 0), **given}
        sentinel = Sentinel([(server.host, server.port), (server.host, 1)], sentinel_kwargs=at_once)
        client = sentinel.master_for(MASTER)
        with pytest.raises(obs.ProbeFailed, match=r"^auth$"):
            await RedisProbe(client).check()
        await client.aclose()
        await close(sentinel)

    try:
        anyio.run(check)
    finally:
        server.close()


def test_without_a_sentinel_no_new_connection_is_made(master: RedisServer, sentinel_server: SentinelServer) -> None:
    """An open connection still works."""

    async def check() -> None:
        at_once = {"retry": Retry(NoBackoff(), 0)}
        sentinel = Sentinel([(sentinel_server.host, sentinel_server.port)], sentinel_kwargs=at_once)
        client = sentinel.master_for(MASTER)
        stays, renews = RedisProbe(client), RedisProbe(client, renew_s=0.0)
        assert await stays.check() == await renews.check() == {}
        with sentinel_server.down():
            assert await stays.check() == {}
            with pytest.raises(obs.ProbeFailed, match=r"^refused$"):
                await renews.check()
        await stays.aclose()
        await renews.aclose()
        await client.aclose()
        await close(sentinel)

    anyio.run(check)


async def close(sentinel: Sentinel) -> None:
    for client in sentinel.sentinels:  # `aclose` of its own is newer than redis-py 5.
        await client.aclose()


def test_a_cluster_passes_while_all_slots_are_served(cluster_server: ClusterServer) -> None:
    """One node that responds is not enough: without all slots a cluster refuses commands."""

    async def check() -> None:
        async with Redis(host=cluster_server.host, port=cluster_server.port) as node:
            probe = RedisProbe(RedisCluster(startup_nodes=[ClusterNode(cluster_server.host, cluster_server.port)]))
            with pytest.raises(obs.ProbeFailed, match=r"^error$"):
                await probe.check()
            await node.execute_command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
            with anyio.fail_after(PATIENCE_S):
                while await is_failing(probe):  # noqa: ASYNC110 - no event is set; it takes two seconds
                    await anyio.sleep(0.02)
            assert await probe.check() == {}
            await probe.aclose()

    anyio.run(check)


def test_one_hanging_node_does_not_decide(cluster_server: ClusterServer, redis_server: RedisServer) -> None:
    """The next check uses another node. If all are dead, the check is refused."""
    nodes = [ClusterNode(server.host, server.port) for server in (redis_server, cluster_server)]

    async def check() -> None:
        probe = RedisProbe(RedisCluster(startup_nodes=nodes))
        with redis_server.paused():
            with anyio.move_on_after(0.05) as patience:
                await probe.check()
            assert patience.cancelled_caught
            # The node that responds. This cluster has no slots.
            with pytest.raises(obs.ProbeFailed, match=r"^error$") as failure:
                await probe.check()
            assert failure.value.details == {"cluster_state": "fail"}
            await probe.aclose()
        with cluster_server.down(), redis_server.down():
            for _ in nodes:
                with pytest.raises(obs.ProbeFailed, match=r"^refused$"):
                    await probe.check()

    anyio.run(check)


async def is_failing(probe: RedisProbe) -> bool:
    try:
        await probe.check()
    except obs.ProbeFailed:
        return True
    return False
