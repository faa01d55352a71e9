"""Calls of redis-py: sync and asyncio, pipelines, cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from divan_obs_asgi.clients.calls import Method, wrap_async, wrap_sync
from divan_obs_asgi.clients.description import Description, Descriptions, Server
from divan_obs_asgi.clients.pools import wrap_pool_async, wrap_pool_sync


@lru_cache(maxsize=256)
def _server(host: str, port: object, database: object) -> Server:
    return Server("redis", str(database), host, int(str(port)) if port else None)


def _server_of(client: Any) -> Server:
    """Return the configured server; the number of the database is that at the start of the connection."""
    pool = getattr(client, "connection_pool", None)
    if pool is None:
        return _node_of(client)
    get = pool.connection_kwargs.get
    path = get("path")
    return _server(path or get("host") or "", None if path else get("port"), get("db") or 0)


def _node_of(cluster: Any) -> Server:
    cluster = getattr(cluster, "cluster_client", cluster)
    node = cluster.get_default_node()
    return _server(node.host, node.port, 0) if node is not None else Server("redis")


def _command(
    descriptions: Descriptions, client: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Description | None:
    return descriptions.command(_server_of(client), args)


def _pipeline(
    descriptions: Descriptions, client: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Description | None:
    commands = [_words(command) for command in _stack(client)]
    # redis-py sends nothing for an empty pipeline.
    return descriptions.pipeline(_server_of(client), commands) if commands else None


def _stack(pipeline: Any) -> Sequence[Any]:
    # A cluster's pipeline keeps its commands in a strategy.
    strategy = getattr(pipeline, "_execution_strategy", None)
    commands: Sequence[Any]
    if strategy is not None:
        commands = strategy._command_queue
    else:
        commands = pipeline.command_stack if hasattr(pipeline, "command_stack") else pipeline._command_stack
    return commands


def _words(command: Any) -> Sequence[object]:
    # A tuple of arguments and options, or an object with the arguments.
    words: Sequence[object] = command[0] if isinstance(command, tuple) else command.args
    return words


_POOLS = ("ConnectionPool", "BlockingConnectionPool")
METHODS = (
    Method("redis.client.Redis", "execute_command", wrap_sync, "redis", _command),
    Method("redis.client.Pipeline", "immediate_execute_command", wrap_sync, "redis", _command),
    Method("redis.client.Pipeline", "execute", wrap_sync, "redis", _pipeline),
    Method("redis.cluster.RedisCluster", "execute_command", wrap_sync, "redis", _command),
    Method("redis.cluster.ClusterPipeline", "execute", wrap_sync, "redis", _pipeline),
    Method("redis.asyncio.client.Redis", "execute_command", wrap_async, "redis", _command),
    Method("redis.asyncio.client.Pipeline", "immediate_execute_command", wrap_async, "redis", _command),
    Method("redis.asyncio.client.Pipeline", "execute", wrap_async, "redis", _pipeline),
    Method("redis.asyncio.cluster.RedisCluster", "execute_command", wrap_async, "redis", _command),
    Method("redis.asyncio.cluster.ClusterPipeline", "execute", wrap_async, "redis", _pipeline),
    *(Method(f"redis.connection.{pool}", "get_connection", wrap_pool_sync, "pool") for pool in _POOLS),
    *(Method(f"redis.asyncio.connection.{pool}", "get_connection", wrap_pool_async, "pool") for pool in _POOLS),
    # It opens no connection: the command does.
    Method("redis.asyncio.cluster.ClusterNode", "acquire_connection", wrap_pool_sync, "pool"),
)

__all__ = ["METHODS"]
