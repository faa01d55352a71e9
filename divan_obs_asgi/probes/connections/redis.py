"""Redis, asked on a connection of its own, made as a client of the application makes its connections."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from divan_obs_asgi.exceptions import ProbeFailed
from divan_obs_asgi.probes.connections.dedicated import DedicatedConnection
from divan_obs_asgi.probes.connections.dns import Names

# What redis-py's pools and clusters add to their connections' arguments for their own use of them.
_OF_THE_POOL = ("maint_notifications_", "maintenance_", "oss_cluster_maint_", "orig_", "himport_registry")

# The class of a connection, and its arguments.
Plan: TypeAlias = tuple[Callable[..., Any], Mapping[str, Any]]


class OwnRedis:
    """
    A connection of one probe's own.

    Args:
        plans: how the next connection is to be made, and the one after.
    """

    def __init__(self, plans: Iterator[Plan], renew_s: float) -> None:
        names = Names()
        self._own = DedicatedConnection(lambda: _RedisLink(*next(plans), names), renew_s, is_full=_is_full)

    async def ask(self, *command: str) -> Any:
        """Return the answer to a command; raises what redis-py raises."""
        return await self._own.use(lambda link: link.ask(*command))

    async def aclose(self) -> None:
        await self._own.aclose()


class _RedisLink:
    """A connection of redis-py without pool and retries."""

    def __init__(self, connection_class: Callable[..., Any], arguments: Mapping[str, Any], names: Names) -> None:
        from redis.asyncio.connection import Connection
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        own = {name: value for name, value in arguments.items() if not name.startswith(_OF_THE_POOL)}
        self._connection = connection_class(**{**own, "retry": Retry(NoBackoff(), 0)})
        # What connects in another way, as fakeredis does, looks up no name.
        connects_by_name = getattr(connection_class, "_connect", None) is Connection._connect
        self._host = own.get("host") if connects_by_name else None
        self._names = names

    async def open(self) -> None:
        await self._names.look_up(self._host)
        await self._connection.connect()

    async def ask(self, *command: str) -> Any:
        await self._connection.send_command(*command)
        return await self._connection.read_response()

    async def close(self) -> None:
        await self._connection.disconnect()

    async def drop(self) -> None:
        await self._connection.disconnect(nowait=True)


def plans_of_a_pool(pool: Any) -> Iterator[Plan]:
    while True:
        # Read anew each time: a pool may be given other credentials.
        yield pool.connection_class, pool.connection_kwargs


def plans_of_a_cluster(manager: Any) -> Iterator[Plan]:
    """Yield one node after the other, so that one that hangs is not all that is known of the cluster."""
    asked = 0
    while True:
        # Before the client's first command only those are known that it was told of.
        nodes: Sequence[Any] = list((manager.nodes_cache or manager.startup_nodes).values())
        node = nodes[asked % len(nodes)]
        asked += 1
        yield node.connection_class, node.connection_kwargs


def refuse_without_redis(for_whom: str) -> None:
    try:
        import redis  # noqa: F401
    except ImportError:
        raise ImportError(f"{for_whom} needs redis: pip install 'divan-obs-asgi[redis]'.") from None


def _is_full(error: Exception) -> bool:
    # Redis' own words, under a code that it has for everything.
    return "max number of clients reached" in str(error)


def failure_of(error: Exception) -> ProbeFailed | None:
    """Return what redis-py's error says of the server; None for a bug."""
    from redis import exceptions

    if isinstance(error, ProbeFailed):
        return error
    # Authentication errors are connection errors to redis-py, and timeouts are OSErrors to Python: they go first.
    if isinstance(error, (exceptions.AuthenticationError, exceptions.NoPermissionError)):
        return ProbeFailed("auth")
    if isinstance(error, (exceptions.TimeoutError, TimeoutError)):
        return ProbeFailed("timeout")
    if isinstance(error, (exceptions.ConnectionError, OSError)):
        return ProbeFailed("refused")
    return ProbeFailed("error") if isinstance(error, exceptions.RedisError) else None


__all__ = ["OwnRedis", "Plan", "failure_of", "plans_of_a_cluster", "plans_of_a_pool", "refuse_without_redis"]
