"""Whether Redis answers: a single one, the master that Sentinel names, or a cluster."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, Protocol, Unpack

from divan_obs_asgi.exceptions import ProbeFailed
from divan_obs_asgi.probes.base import NamedProbe, Options
from divan_obs_asgi.probes.connections.dedicated import RENEW_S
from divan_obs_asgi.probes.connections.redis import (
    OwnRedis,
    failure_of,
    plans_of_a_cluster,
    plans_of_a_pool,
    refuse_without_redis,
)


class Pings(Protocol):
    """`redis.asyncio.Redis` (of a `Sentinel` too), `RedisCluster`, or what behaves like it."""

    def ping(self) -> Awaitable[Any]: ...


class RedisProbe(NamedProbe):
    """
    Readiness: `PING` within 200 ms, on a connection of its own, made as the client's pool makes them.

    Of a cluster one node is asked whether all slots are served; where that node does not answer, the next check asks
    another one.

    Args:
        renew_s: seconds after which the connection is made anew, so that a changed password is noticed.

    Raises:
        ImportError: at construction, without the extra `redis`.
    """

    timeout = 0.2

    def __init__(
        self,
        client: Pings,
        *,
        name: str = "redis",
        renew_s: float = RENEW_S,
        **options: Unpack[Options],
    ) -> None:
        refuse_without_redis("RedisProbe")
        super().__init__(name, **options)
        self._client = client
        self._manager = getattr(client, "nodes_manager", None)
        pool = getattr(client, "connection_pool", None)
        self._own: OwnRedis | None = None
        if self._manager is not None:
            self._own = OwnRedis(plans_of_a_cluster(self._manager), renew_s)
        elif pool is not None:
            self._own = OwnRedis(plans_of_a_pool(pool), renew_s)

    async def check(self) -> Mapping[str, object]:
        try:
            return await self._ask()
        except Exception as error:
            failure = failure_of(error)
            if failure is None:
                raise
        raise failure

    async def aclose(self) -> None:
        """Close the connection; the next check opens another one."""
        if self._own is not None:
            await self._own.aclose()

    async def _ask(self) -> Mapping[str, object]:
        if self._own is None:
            await self._client.ping()
        elif self._manager is not None:
            _refuse_a_broken_cluster(await self._own.ask("CLUSTER", "INFO"))
        else:
            await self._own.ask("PING")
        return {}


def _refuse_a_broken_cluster(info: str | bytes) -> None:
    text = info.decode() if isinstance(info, bytes) else info
    if "cluster_state:ok" not in text:
        raise ProbeFailed("error", cluster_state="fail")


__all__ = ["RedisProbe"]
