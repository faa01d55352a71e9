"""Whether Redis answers."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, Protocol

from divan_obs_asgi.exceptions import ProbeFailed
from divan_obs_asgi.probes.base import Group


class Pings(Protocol):
    """`redis.asyncio.Redis`, or what behaves like it."""

    def ping(self) -> Awaitable[Any]: ...


class RedisProbe:
    """
    Readiness: `PING` within 200 ms (SPEC section 5).

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
        self._auth_errors = (exceptions.AuthenticationError, exceptions.NoPermissionError)
        self._connection_errors = (exceptions.ConnectionError, OSError)
        self._timeout_errors = (exceptions.TimeoutError, TimeoutError)
        self._redis_error = exceptions.RedisError

    async def check(self) -> Mapping[str, object]:
        # Authentication errors are connection errors to redis-py, and timeouts are OSErrors to Python: they go first.
        try:
            await self._client.ping()
        except self._auth_errors:
            raise ProbeFailed("auth") from None
        except self._timeout_errors:
            raise ProbeFailed("timeout") from None
        except self._connection_errors:
            raise ProbeFailed("refused") from None
        except self._redis_error:
            raise ProbeFailed("error") from None
        return {}


__all__ = ["RedisProbe"]
