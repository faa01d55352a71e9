"""Whether Redis answers: a single one, the master that Sentinel names, or a cluster."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import cycle
from typing import Any, Protocol, TypeAlias

from divan_obs_asgi.exceptions import ProbeFailed
from divan_obs_asgi.probes.base import Group
from divan_obs_asgi.probes.own import RENEW_S, OwnConnection

# What redis-py's pools and clusters add to their connections' arguments for their own use of them.
_OF_THE_POOL = ("maint_notifications_", "maintenance_", "oss_cluster_maint_", "orig_", "himport_registry")

# The class of a connection, and its arguments.
_Plan: TypeAlias = tuple[Callable[..., Any], Mapping[str, Any]]


class Pings(Protocol):
    """`redis.asyncio.Redis` (of a `Sentinel` too), `RedisCluster`, or what behaves like it."""

    def ping(self) -> Awaitable[Any]: ...


class RedisProbe:
    """
    Readiness: `PING` within 200 ms (SPEC section 5), on a connection of its own, made as the client's pool makes them.

    Of a cluster one node is asked whether all slots are served; where that node does not answer, the next check asks
    another one.

    Args:
        renew_s: seconds after which the connection is made anew, so that a changed password is noticed.

    Raises:
        ImportError: at construction, without the extra `redis`.
    """

    def __init__(
        self,
        client: Pings,
        *,
        name: str = "redis",
        timeout: float = 0.2,
        critical: bool = True,
        group: Group = "ready",
        renew_s: float = RENEW_S,
    ) -> None:
        try:
            from redis import exceptions
        except ImportError:
            raise ImportError("RedisProbe needs redis: pip install 'divan-obs-asgi[redis]'.") from None
        self.name = name
        self.timeout = timeout
        self.critical = critical
        self.group: Group = group
        self._client = client
        self._is_cluster = hasattr(client, "nodes_manager")
        plans = _plans_of(client)
        self._own = OwnConnection(lambda: _RedisLink(*next(plans)), renew_s) if plans is not None else None
        self._auth_errors = (exceptions.AuthenticationError, exceptions.NoPermissionError)
        self._connection_errors = (exceptions.ConnectionError, OSError)
        self._timeout_errors = (exceptions.TimeoutError, TimeoutError)
        self._redis_error = exceptions.RedisError

    async def check(self) -> Mapping[str, object]:
        # Authentication errors are connection errors to redis-py, and timeouts are OSErrors to Python: they go first.
        try:
            return await self._ask()
        except self._auth_errors:
            raise ProbeFailed("auth") from None
        except self._timeout_errors:
            raise ProbeFailed("timeout") from None
        except self._connection_errors:
            raise ProbeFailed("refused") from None
        except self._redis_error:
            raise ProbeFailed("error") from None

    async def aclose(self) -> None:
        """Close the connection; the next check opens another one."""
        if self._own is not None:
            await self._own.aclose()

    async def _ask(self) -> Mapping[str, object]:
        if self._own is None:
            await self._client.ping()
        elif self._is_cluster:
            _refuse_a_broken_cluster(await self._own.use(lambda link: link.ask("CLUSTER", "INFO")))
        else:
            await self._own.use(lambda link: link.ask("PING"))
        return {}


class _RedisLink:
    """A connection of redis-py without pool, retries and spans."""

    def __init__(self, connection_class: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        self._connection = connection_class(**{**arguments, "retry": Retry(NoBackoff(), 0)})

    async def open(self) -> None:
        await self._connection.connect()

    async def ask(self, *command: str) -> Any:
        await self._connection.send_command(*command)
        return await self._connection.read_response()

    async def close(self) -> None:
        await self._connection.disconnect()

    async def drop(self) -> None:
        await self._connection.disconnect(nowait=True)


def _plans_of(client: Any) -> Iterator[_Plan] | None:
    """Return how the next connection is to be made, and the one after; None for a client without a pool."""
    if hasattr(client, "nodes_manager"):
        return _plans_of_a_cluster(client.nodes_manager)
    pool = getattr(client, "connection_pool", None)
    if pool is None:
        return None
    # Read anew each time: a pool may be given other credentials.
    return ((pool.connection_class, _own_arguments(pool.connection_kwargs)) for _ in cycle([None]))


def _plans_of_a_cluster(manager: Any) -> Iterator[_Plan]:
    asked = 0
    while True:
        # Before the client's first command only those are known that it was told of.
        nodes: Sequence[Any] = list((manager.nodes_cache or manager.startup_nodes).values())
        node = nodes[asked % len(nodes)]
        asked += 1
        yield node.connection_class, _own_arguments(node.connection_kwargs)


def _own_arguments(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in arguments.items() if not name.startswith(_OF_THE_POOL)}


def _refuse_a_broken_cluster(info: Any) -> None:
    text = info.decode() if isinstance(info, bytes) else str(info)
    if "cluster_state:ok" not in text:
        raise ProbeFailed("error", cluster_state="fail")


__all__ = ["RedisProbe"]
