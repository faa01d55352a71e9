"""Redis on a dedicated connection, made in the way in which the application's client makes its connections."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from divan_obs_asgi.exceptions import ProbeFailed
from divan_obs_asgi.probes.connections.dedicated import DedicatedConnection
from divan_obs_asgi.probes.connections.dns import NameResolver

# Arguments that redis-py's pools and clusters add for their own use.
_POOL_ARGUMENTS = ("maint_notifications_", "maintenance_", "oss_cluster_maint_", "orig_", "himport_registry")

# redis-py asks one Sentinel after the other, and keeps only the `repr` of what each has raised: in version 8
# `auth:AuthenticationError`, before `AuthenticationError(...)`.
_REJECTED = re.compile(r" - (?:\w{1,20}:)?(?:Authentication\w{0,40}Error|NoPermissionError)\b")

# The class of a connection, and its arguments.
ConnectionSpec: TypeAlias = tuple[Callable[..., Any], Mapping[str, Any]]


class DedicatedRedisClient:
    """
    Sends the commands of one probe on a dedicated connection.

    Args:
        specs: yields how to make each next connection.
    """

    def __init__(self, specs: Iterator[ConnectionSpec], renew_s: float) -> None:
        resolver = NameResolver()
        self._connection = DedicatedConnection(
            lambda: _RedisConnection(*next(specs), resolver), renew_s, is_full=_is_full
        )

    async def send(self, *command: str) -> Any:
        """Return the response to a command; raises what redis-py raises."""
        return await self._connection.use(lambda connection: connection.send(*command))

    async def aclose(self) -> None:
        await self._connection.aclose()


class _RedisConnection:
    """A connection of redis-py without pool and retries."""

    def __init__(
        self, connection_class: Callable[..., Any], arguments: Mapping[str, Any], resolver: NameResolver
    ) -> None:
        from redis.asyncio.connection import Connection
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        own = {name: value for name, value in arguments.items() if not name.startswith(_POOL_ARGUMENTS)}
        self._connection = connection_class(**{**own, "retry": Retry(NoBackoff(), 0)})
        # A class with another `_connect`, like fakeredis', looks up no name.
        connects_by_name = getattr(connection_class, "_connect", None) is Connection._connect
        self._host = own.get("host") if connects_by_name else None
        self._resolver = resolver

    async def open(self) -> None:
        await self._resolver.look_up(self._host)
        await self._connection.connect()

    async def send(self, *command: str) -> Any:
        await self._connection.send_command(*command)
        return await self._connection.read_response()

    async def close(self) -> None:
        await self._connection.disconnect()

    async def drop(self) -> None:
        await self._connection.disconnect(nowait=True)


def pool_specs(pool: Any) -> Iterator[ConnectionSpec]:
    while True:
        # Read each time, because the pool's credentials may change.
        yield pool.connection_class, pool.connection_kwargs


def cluster_specs(manager: Any) -> Iterator[ConnectionSpec]:
    """Yield one node after the other, so that one hanging node does not decide about the cluster."""
    count = 0
    while True:
        # Before the client's first command only the start-up nodes are known.
        nodes: Sequence[Any] = list((manager.nodes_cache or manager.startup_nodes).values())
        node = nodes[count % len(nodes)]
        count += 1
        yield node.connection_class, node.connection_kwargs


def require_redis(user: str) -> None:
    """
    Check that the package redis is installed.

    Raises:
        ImportError: naming `user` and the extra to install.
    """
    try:
        import redis  # noqa: F401
    except ImportError:
        raise ImportError(f"{user} needs redis: pip install 'divan-obs-asgi[redis]'.") from None


def _is_full(error: Exception) -> bool:
    # Redis sends this text under the general code ERR.
    return "max number of clients reached" in str(error)


def probe_failure(error: Exception) -> ProbeFailed | None:
    """Return the probe's failure for an error of redis-py; None if the error is a bug."""
    from redis import exceptions

    if isinstance(error, ProbeFailed):
        return error
    # redis-py derives authentication errors from connection errors, and Python derives timeouts from OSError: they are
    # tested first.
    if isinstance(error, (exceptions.AuthenticationError, exceptions.NoPermissionError)):
        return ProbeFailed("auth")
    if type(error).__name__ == "MasterNotFoundError" and _REJECTED.search(str(error)):
        return ProbeFailed("auth")
    if isinstance(error, (exceptions.TimeoutError, TimeoutError)):
        return ProbeFailed("timeout")
    if isinstance(error, (exceptions.ConnectionError, OSError)):
        return ProbeFailed("refused")
    return ProbeFailed("error") if isinstance(error, exceptions.RedisError) else None


__all__ = ["ConnectionSpec", "DedicatedRedisClient", "cluster_specs", "pool_specs", "probe_failure", "require_redis"]
