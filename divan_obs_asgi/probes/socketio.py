"""Whether a Socket.IO server hears what other processes emit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Unpack

from divan_obs_asgi.exceptions import ImproperlyConfigured, ProbeFailed
from divan_obs_asgi.probes.base import NamedProbe, Options
from divan_obs_asgi.probes.connections.dedicated import RENEW_S
from divan_obs_asgi.probes.connections.redis import OwnRedis, Plan, failure_of, plans_of_a_pool, refuse_without_redis


class SocketIoProbe(NamedProbe):
    """
    Whether the server's `AsyncRedisManager` is subscribed to its channel, here and at the Redis.

    After a failure of Redis python-socketio subscribes anew in pauses of up to a minute, and meanwhile the clients of
    this process miss what others emit: this probe tells it, `RedisProbe` is well again by then. It is not critical by
    default, for all instances would be out of rotation for that minute. A server without clients so far has not
    subscribed yet, and is well.

    Args:
        server: a `socketio.AsyncServer` whose `client_manager` is an `AsyncRedisManager`.
        renew_s: as for `RedisProbe`.

    Raises:
        ImproperlyConfigured: where the server has another manager, or one that only writes.
        ImportError: at construction, without the extra `redis`.
    """

    timeout = 0.5
    critical = False

    def __init__(
        self,
        server: Any,
        *,
        name: str = "socketio",
        renew_s: float = RENEW_S,
        **options: Unpack[Options],
    ) -> None:
        manager = getattr(server, "manager", None)
        if not hasattr(manager, "pubsub") or not hasattr(manager, "channel"):
            raise ImproperlyConfigured(
                f"The Socket.IO server's manager is {type(manager).__name__}; expected an AsyncRedisManager."
            )
        if getattr(manager, "write_only", False):
            raise ImproperlyConfigured(
                "The Socket.IO server's manager is write_only and hears nobody; leave the probe out."
            )
        refuse_without_redis("SocketIoProbe")
        super().__init__(name, **options)
        self._server = server
        self._manager: Any = manager
        self._listening: Any = None
        self._own = OwnRedis(self._plans(), renew_s)

    async def check(self) -> Mapping[str, object]:
        if not self._server.manager_initialized:
            return {"subscribed": False}
        if self._manager.thread.done() or not self._listens():
            raise ProbeFailed("refused")
        try:
            _, subscribers = await self._own.ask("PUBSUB", "NUMSUB", self._manager.channel)
        except Exception as error:
            failure = failure_of(error)
            if failure is None:
                raise
        else:
            if subscribers > 0:
                return {"subscribed": True}
            # What is connected to nobody does not know it yet.
            failure = ProbeFailed("stale")
        raise failure

    async def aclose(self) -> None:
        """Close the connection; the next check opens another one."""
        await self._own.aclose()

    def _listens(self) -> bool:
        """
        Tell whether the subscription's connection stands.

        A message that could not be published makes the manager another `pubsub`, which nobody listens by until the one
        that goes on has failed.
        """
        if is_connected(self._manager.pubsub):
            self._listening = self._manager.pubsub
        return is_connected(self._listening)

    def _plans(self) -> Iterator[Plan]:
        # The manager makes a new client each time it connects anew.
        while True:
            yield next(plans_of_a_pool(self._manager.redis.connection_pool))


def is_connected(pubsub: Any) -> bool:
    connection = getattr(pubsub, "connection", None)
    return connection is not None and bool(connection.is_connected)


__all__ = ["SocketIoProbe"]
