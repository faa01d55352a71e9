"""Metrics of Redis Streams: how far the consumer groups are behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING, Any

import anyio
from prometheus_client import Gauge

from divan_obs_asgi.exceptions import ImproperlyConfigured
from divan_obs_asgi.internal_errors import InternalErrors
from divan_obs_asgi.metrics import Metrics
from divan_obs_asgi.tracing.spans.internal import untraced

if TYPE_CHECKING:
    from redis.asyncio import Redis

# For one round over all streams. If Redis hangs, the round ends, and the next one tries again.
_TIMEOUT_S = 5.0
# Redis makes ids from the time. A smaller number (before September 2001) is an id of the application's own.
_PLAUSIBLE_MS = 1e12

# Raised when a response does not have the shape that Redis gives it.
_BAD_RESPONSE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)

_Group = tuple[str, str]


class RedisStreams:
    """
    A task that reads lag and pending entries of each consumer group from Redis, every `interval_s` seconds.

    A value that is not known is not exposed: a lag that Redis cannot compute, a group or a stream that was deleted, and
    all values while Redis does not respond.

    Args:
        connect: returns a client that decodes responses. It is called in the event loop that uses the client.
    """

    def __init__(
        self,
        metrics: Metrics,
        faults: InternalErrors,
        streams: Sequence[str],
        connect: Callable[[], Redis],
        *,
        interval_s: float = 10.0,
    ) -> None:
        self._metrics = metrics
        self._faults = faults
        self._streams = streams
        self._connect = connect
        self._interval_s = interval_s
        self._exposed: dict[Gauge, set[_Group]] = {
            metrics.redis_stream_lag: set(),
            metrics.redis_stream_pending: set(),
            metrics.redis_stream_oldest_pending: set(),
        }

    async def run(self) -> None:
        """Read until cancelled."""
        redis = self._connect()
        try:
            with untraced():
                while True:
                    await self.read(redis)
                    await anyio.sleep(self._interval_s)
        finally:
            self._expose({})
            with anyio.move_on_after(1, shield=True):
                await redis.aclose()

    async def read(self, redis: Redis) -> None:
        """Read once, and expose the values that are known."""
        found: dict[Gauge, dict[_Group, float]] = {}
        try:
            with anyio.fail_after(_TIMEOUT_S):
                found = await self._read_all(redis)
        except Exception as error:
            self._faults.report("redis_streams", error)
        self._expose(found)

    async def _read_all(self, redis: Redis) -> dict[Gauge, dict[_Group, float]]:
        found: dict[Gauge, dict[_Group, float]] = {gauge: {} for gauge in self._exposed}
        now_s = await self._now_s(redis)
        for stream in self._streams:
            with self._reported():
                for group in await self._groups(redis, stream):
                    with self._reported():
                        for gauge, (key, value) in (await self._read_group(redis, stream, group, now_s)).items():
                            found[gauge][key] = value
        return found

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """Report an unexpected response, and continue with the next group."""
        try:
            yield
        except _BAD_RESPONSE as error:
            self._faults.report("redis_streams", error)

    async def _now_s(self, redis: Redis) -> float | None:
        with self._reported():
            seconds, microseconds = await redis.time()
            return float(seconds) + float(microseconds) / 1e6
        return None

    async def _groups(self, redis: Redis, stream: str) -> Sequence[Mapping[str, Any]]:
        from redis.exceptions import ResponseError

        try:
            return await redis.xinfo_groups(stream)
        except ResponseError as error:
            # A stream without entries does not exist yet. That is not an error.
            if "no such key" not in str(error):
                self._faults.report("redis_streams", error)
            return []

    async def _read_group(
        self, redis: Redis, stream: str, group: Mapping[str, Any], now_s: float | None
    ) -> dict[Gauge, tuple[_Group, float]]:
        name, pending, lag = group["name"], _count(group["pending"]), group.get("lag")
        if not isinstance(name, str):
            raise TypeError("the name of a group is not a text")
        key = (stream, name)
        found = {self._metrics.redis_stream_pending: pending}
        # Redis cannot compute it after deletions, for a group that began in the middle, or before Redis 7.
        if lag is not None:
            found[self._metrics.redis_stream_lag] = _count(lag)
        if now_s is not None:
            age_s = await self._age_s(redis, key, pending, now_s)
            if age_s is not None:
                found[self._metrics.redis_stream_oldest_pending] = age_s
        return {gauge: (key, value) for gauge, value in found.items()}

    async def _age_s(self, redis: Redis, key: _Group, pending: float, now_s: float) -> float | None:
        """Return the age of the oldest pending entry, by the clock of Redis, which also makes the ids."""
        from redis.exceptions import ResponseError

        if not pending:
            return 0.0
        try:
            oldest = (await redis.xpending(*key))["min"]
        except ResponseError:
            return None  # The group was deleted meanwhile.
        if oldest is None:
            return 0.0  # The last one was acknowledged meanwhile.
        added_ms = float(str(oldest).partition("-")[0])
        return max(0.0, now_s - added_ms / 1e3) if added_ms >= _PLAUSIBLE_MS else None

    def _expose(self, found: Mapping[Gauge, Mapping[_Group, float]]) -> None:
        for gauge, before in self._exposed.items():
            now = found.get(gauge, {})
            for key, value in now.items():
                gauge.labels(*key).set(value)
            for key in before - now.keys():
                self._metrics.forget(gauge, *key)
            self._exposed[gauge] = set(now)


def _count(value: Any) -> float:
    count = float(value)
    if not 0 <= count < inf:
        raise ValueError("a count is negative or infinite")
    return count


def client_factory(url: str | None) -> Callable[[], Redis]:
    """
    Return a function that creates a client for REDIS_URL.

    Raises:
        ImproperlyConfigured: if the extra `redis` is missing, or if the URL is missing or invalid.
    """
    if url is None:
        raise ImproperlyConfigured(
            "OBS_REDIS_STREAMS is set, but REDIS_URL is not; set it to the Redis that has the streams."
        )
    try:
        from redis.asyncio import Redis
    except ImportError:
        raise ImproperlyConfigured(
            "OBS_REDIS_STREAMS is set, but redis is not installed: pip install 'divan-obs-asgi[redis]'."
        ) from None

    def connect() -> Redis:
        return Redis.from_url(
            url,
            decode_responses=True,
            # Names of groups are bytes. A name that is not UTF-8 must not hide the others.
            encoding_errors="replace",
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
            client_name="divan-obs",
        )

    try:
        connect()
    except ValueError:
        raise ImproperlyConfigured("REDIS_URL is invalid; expected redis://host:port/0.") from None
    return connect


__all__ = ["RedisStreams", "client_factory"]
