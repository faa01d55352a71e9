"""Probe: a Socket.IO server receives what other processes emit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Unpack

from divan_obs_asgi.exceptions import ImproperlyConfigured, ProbeFailed
from divan_obs_asgi.probes.base import NamedProbe, Options
from divan_obs_asgi.probes.connections.dedicated import RENEW_S
from divan_obs_asgi.probes.connections.redis import (
    ConnectionSpec,
    DedicatedRedisClient,
    pool_specs,
    probe_failure,
    require_redis,
)

# Longer than the checks in a row that a verdict takes, so that an interruption is seen on the health page.
REPORT_S = 30.0


class SocketIoProbe(NamedProbe):
    """
    Passes if the server's `AsyncRedisManager` is subscribed to its channel, on this side and at Redis.

    After a failure of Redis, python-socketio retries its subscription in pauses of up to a minute. Until then the
    clients of this process miss what others emit: this probe fails, although `RedisProbe` passes again. It is not
    critical by default, because all instances would be out of rotation for that minute. A server without clients so far
    has not subscribed yet, and passes.

    Args:
        server: a `socketio.AsyncServer` whose `client_manager` is an `AsyncRedisManager`.
        renew_s: as for `RedisProbe`.
        report_s: seconds for which the probe fails after an interruption of the subscription, which
            `ObservedAsyncServer` notices: emits of other processes may be lost. 0 reports none.

    Raises:
        ImproperlyConfigured: if the server has another manager, or a write-only one.
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
        report_s: float = REPORT_S,
        **options: Unpack[Options],
    ) -> None:
        manager = getattr(server, "manager", None)
        if not hasattr(manager, "pubsub") or not hasattr(manager, "channel"):
            raise ImproperlyConfigured(
                f"The Socket.IO server's manager is {type(manager).__name__}; expected an AsyncRedisManager."
            )
        if getattr(manager, "write_only", False):
            raise ImproperlyConfigured(
                "The Socket.IO server's manager is write_only and does not subscribe; remove SocketIoProbe."
            )
        require_redis("SocketIoProbe")
        super().__init__(name, **options)
        self._server = server
        self._manager: Any = manager
        self._subscribed: Any = None
        self._report_s = report_s
        self._dedicated = DedicatedRedisClient(self._specs(), renew_s)

    async def check(self) -> Mapping[str, object]:
        if not self._server.manager_initialized:
            return {"subscribed": False}
        if self._manager.thread.done() or not self._has_connection():
            raise ProbeFailed("refused")
        try:
            _, subscribers = await self._dedicated.send("PUBSUB", "NUMSUB", self._manager.channel)
        except Exception as error:
            failure = probe_failure(error)
            if failure is None:
                raise
        else:
            losses = getattr(self._manager, "divan_losses", None)
            if not subscribers:
                # Redis has lost the subscription, and this process has not noticed yet.
                failure = ProbeFailed("stale")
            elif losses is not None and losses.was_interrupted_within(self._report_s):
                failure = ProbeFailed("interrupted")
            else:
                return {"subscribed": True}
        raise failure

    async def aclose(self) -> None:
        """Close the connection; the next check opens another one."""
        await self._dedicated.aclose()

    def _has_connection(self) -> bool:
        """
        Return whether the subscription's connection is open.

        After a failed publish the manager has a new `pubsub`, but still listens on the old one until that one fails.
        """
        if is_connected(self._manager.pubsub):
            self._subscribed = self._manager.pubsub
        return is_connected(self._subscribed)

    def _specs(self) -> Iterator[ConnectionSpec]:
        # The manager creates a new client for each reconnection.
        while True:
            yield next(pool_specs(self._manager.redis.connection_pool))


def is_connected(pubsub: Any) -> bool:
    connection = getattr(pubsub, "connection", None)
    return connection is not None and bool(connection.is_connected)


__all__ = ["SocketIoProbe"]
