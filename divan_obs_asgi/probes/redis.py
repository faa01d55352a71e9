"""Probe: Redis responds. It may be a single server, a master behind Sentinel, or a cluster."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, Protocol, Unpack

from divan_obs_asgi.exceptions import ProbeFailed
from divan_obs_asgi.probes.base import NamedProbe, Options
from divan_obs_asgi.probes.connections.dedicated import RENEW_S
from divan_obs_asgi.probes.connections.redis import (
    DedicatedRedisClient,
    cluster_specs,
    pool_specs,
    probe_failure,
    require_redis,
)


class RedisClient(Protocol):
    """`redis.asyncio.Redis` (also from a `Sentinel`), `RedisCluster`, or a class that behaves like them."""

    def ping(self) -> Awaitable[Any]: ...


class RedisProbe(NamedProbe):
    """
    Readiness: Redis answers `PING` within 200 ms, on a dedicated connection like those of the client's pool.

    In a cluster the check asks one node whether all slots are served. If that node does not respond, the next check
    asks another one.

    Args:
        renew_s: seconds after which the connection is replaced, so that a changed password is noticed.

    Raises:
        ImportError: at construction, without the extra `redis`.
    """

    timeout = 0.2

    def __init__(
        self,
        client: RedisClient,
        *,
        name: str = "redis",
        renew_s: float = RENEW_S,
        **options: Unpack[Options],
    ) -> None:
        require_redis("RedisProbe")
        super().__init__(name, **options)
        self._client = client
        self.pool_source: object = client
        self._manager = getattr(client, "nodes_manager", None)
        pool = getattr(client, "connection_pool", None)
        self._dedicated: DedicatedRedisClient | None = None
        if self._manager is not None:
            self._dedicated = DedicatedRedisClient(cluster_specs(self._manager), renew_s)
        elif pool is not None:
            self._dedicated = DedicatedRedisClient(pool_specs(pool), renew_s)

    async def check(self) -> Mapping[str, object]:
        try:
            return await self._ping()
        except Exception as error:
            failure = probe_failure(error)
            if failure is None:
                raise
        raise failure

    async def aclose(self) -> None:
        """Close the connection; the next check opens another one."""
        if self._dedicated is not None:
            await self._dedicated.aclose()

    async def _ping(self) -> Mapping[str, object]:
        if self._dedicated is None:
            await self._client.ping()
        elif self._manager is not None:
            _require_cluster_ok(await self._dedicated.send("CLUSTER", "INFO"))
        else:
            await self._dedicated.send("PING")
        return {}


def _require_cluster_ok(info: str | bytes) -> None:
    text = info.decode() if isinstance(info, bytes) else info
    if "cluster_state:ok" not in text:
        raise ProbeFailed("error", cluster_state="fail")


__all__ = ["RedisProbe"]
