"""What the connection pools of client libraries say about themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple


class Usage(NamedTuple):
    """
    The connections of a pool at one moment.

    Attributes:
        limit: the maximum number of connections; None without a limit.
    """

    in_use: int
    idle: int
    limit: int | None

    @property
    def is_full(self) -> bool:
        return self.limit is not None and self.in_use >= self.limit


def summed(usages: Sequence[Usage]) -> Usage | None:
    """Return the connections of several pools together; None if there are none."""
    if not usages:
        return None
    limits = [usage.limit for usage in usages if usage.limit is not None]
    limit = sum(limits) if len(limits) == len(usages) else None
    return Usage(sum(usage.in_use for usage in usages), sum(usage.idle for usage in usages), limit)


class PoolKind(NamedTuple):
    """
    A kind of pool.

    Attributes:
        library: the client library whose patch times the attempts to get a connection.
        pools: returns the pools that an engine or a client uses now: one for each node of a cluster, else at most one.
        usage: returns the connections of a pool; None if it is closed, or does not count them.
    """

    library: str
    pools: Callable[[Any], Sequence[Any]]
    usage: Callable[[Any], Usage | None]


def pool_kind(source: object) -> PoolKind | None:
    """Return the kind of pool that an engine, a client or a pool has; None if it is of an unknown kind."""
    for kind in type(source).__mro__:
        found = _KINDS.get(kind.__module__.partition(".")[0])
        if found is not None:
            fits, known = found
            return known if fits(source) else None
    return None


def _engine_pool(source: Any) -> Any:
    # An engine gets another pool by `dispose`.
    return getattr(getattr(source, "sync_engine", source), "pool", source)


def _database_pools(source: Any) -> Sequence[Any]:
    # `databases` has no public way to reach its pool, which exists while it is connected.
    pool = getattr(getattr(source, "_backend", None), "_pool", None)
    return (pool,) if hasattr(pool, "get_size") else ()


def _redis_pools(source: Any) -> Sequence[Any]:
    if not hasattr(source, "nodes_manager"):
        return (getattr(source, "connection_pool", source),)
    # An asyncio node is a pool itself. Another node has a client from its first command on.
    clients = [getattr(node, "redis_connection", node) for node in source.get_nodes()]
    return [getattr(client, "connection_pool", client) for client in clients if client is not None]


def _has_redis_pool(source: Any) -> bool:
    return hasattr(source, "nodes_manager") or hasattr(getattr(source, "connection_pool", source), "max_connections")


def _sqlalchemy(pool: Any) -> Usage | None:
    # NullPool, StaticPool and SingletonThreadPool do not count.
    if not hasattr(pool, "checkedout"):
        return None
    # SQLAlchemy has no public attribute for the maximum.
    overflow = getattr(pool, "_max_overflow", -1)
    return Usage(pool.checkedout(), pool.checkedin(), pool.size() + overflow if overflow >= 0 else None)


def _asyncpg(pool: Any) -> Usage | None:
    if pool.is_closing():
        return None
    idle = pool.get_idle_size()
    return Usage(pool.get_size() - idle, idle, pool.get_max_size())


def _redis(pool: Any) -> Usage:
    limit = pool.max_connections
    # redis-py before 6 allowed 2 ** 31 by default.
    limit = limit if limit < 2**31 else None
    # Since redis-py 7.2, and 7.3 for asyncio.
    if hasattr(pool, "get_connection_count"):
        counts = {
            attributes.get("db.client.connection.state"): count for count, attributes in pool.get_connection_count()
        }
        return Usage(counts["used"], counts["idle"], limit)
    if hasattr(pool, "_free"):  # A node of an asyncio cluster.
        return Usage(len(pool._connections) - len(pool._free), len(pool._free), limit)
    if hasattr(pool, "pool"):  # The BlockingConnectionPool for threads.
        idle = sum(one is not None for one in tuple(pool.pool.queue))
        return Usage(len(pool._connections) - idle, idle, limit)
    return Usage(len(pool._in_use_connections), len(pool._available_connections), limit)


def _psycopg(pool: Any) -> Usage | None:
    if pool.closed:
        return None
    stats = pool.get_stats()
    size, idle = stats.get("pool_size", 0), stats.get("pool_available", 0)
    # A null pool has no maximum by default.
    return Usage(size - idle, idle, pool.max_size or None)


def _itself(source: Any) -> Sequence[Any]:
    return (source,)


# By the package of the class. The function beside the kind returns whether this object of the package has a pool.
_KINDS: Mapping[str, tuple[Callable[[Any], bool], PoolKind]] = {
    "sqlalchemy": (
        lambda source: hasattr(_engine_pool(source), "recreate"),
        PoolKind("sqlalchemy", lambda source: (_engine_pool(source),), _sqlalchemy),
    ),
    "asyncpg": (lambda source: hasattr(source, "get_idle_size"), PoolKind("asyncpg", _itself, _asyncpg)),
    "databases": (lambda source: hasattr(source, "fetch_val"), PoolKind("asyncpg", _database_pools, _asyncpg)),
    "redis": (_has_redis_pool, PoolKind("redis", _redis_pools, _redis)),
    "psycopg_pool": (lambda source: hasattr(source, "get_stats"), PoolKind("psycopg", _itself, _psycopg)),
}


__all__ = ["PoolKind", "Usage", "pool_kind", "summed"]
