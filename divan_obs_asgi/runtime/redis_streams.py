"""How far the consumer groups of Redis Streams are behind."""

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
from divan_obs_asgi.tracing.untraced import untraced

if TYPE_CHECKING:
    from redis.asyncio import Redis

# One look at all streams; a Redis that hangs is given up, and asked again at the next one.
_TIMEOUT_S = 5.0
# An id is a time where Redis made it. What is smaller (September 2001) somebody has made up.
_PLAUSIBLE_MS = 1e12

# What is raised where an answer has another shape than that of Redis.
_NO_ANSWER = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)

_Group = tuple[str, str]


class RedisStreams:
    """
    A task that asks Redis, every `interval_s` seconds, for lag and pending entries of each group of some streams.

    What is not known is absent: a lag that Redis cannot tell, a group or a stream that is gone, all of them while Redis
    does not answer.

    Args:
        connect: returns the client, in the event loop that is to use it; it decodes responses.
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
        self._told: dict[Gauge, set[_Group]] = {
            metrics.redis_stream_lag: set(),
            metrics.redis_stream_pending: set(),
            metrics.redis_stream_oldest_pending: set(),
        }

    async def run(self) -> None:
        """Look until cancelled."""
        redis = self._connect()
        try:
            with untraced():
                while True:
                    await self.look(redis)
                    await anyio.sleep(self._interval_s)
        finally:
            self._tell({})
            with anyio.move_on_after(1, shield=True):
                await redis.aclose()

    async def look(self, redis: Redis) -> None:
        """Ask once, and tell what is known now."""
        found: dict[Gauge, dict[_Group, float]] = {}
        try:
            with anyio.fail_after(_TIMEOUT_S):
                found = await self._ask(redis)
        except Exception as error:
            self._faults.report("redis_streams", error)
        self._tell(found)

    async def _ask(self, redis: Redis) -> dict[Gauge, dict[_Group, float]]:
        found: dict[Gauge, dict[_Group, float]] = {gauge: {} for gauge in self._told}
        now_s = await self._now_s(redis)
        for stream in self._streams:
            with self._reported():
                for group in await self._groups(redis, stream):
                    with self._reported():
                        for gauge, (key, value) in (await self._of_group(redis, stream, group, now_s)).items():
                            found[gauge][key] = value
        return found

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """Report an answer that nobody can make sense of, and go on to what else there is to ask."""
        try:
            yield
        except _NO_ANSWER as error:
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
            # A stream that nobody has written to yet is nothing to report.
            if "no such key" not in str(error):
                self._faults.report("redis_streams", error)
            return []

    async def _of_group(
        self, redis: Redis, stream: str, group: Mapping[str, Any], now_s: float | None
    ) -> dict[Gauge, tuple[_Group, float]]:
        name, pending, lag = group["name"], _count(group["pending"]), group.get("lag")
        if not isinstance(name, str):
            raise TypeError("no name")
        key = (stream, name)
        found = {self._metrics.redis_stream_pending: pending}
        # Redis cannot tell it after deletions, or for a group that began in the middle; before 7 never.
        if lag is not None:
            found[self._metrics.redis_stream_lag] = _count(lag)
        if now_s is not None:
            age_s = await self._age_s(redis, key, pending, now_s)
            if age_s is not None:
                found[self._metrics.redis_stream_oldest_pending] = age_s
        return {gauge: (key, value) for gauge, value in found.items()}

    async def _age_s(self, redis: Redis, key: _Group, pending: float, now_s: float) -> float | None:
        """Return how long ago the oldest pending entry was added, by the clock of Redis, which also makes the ids."""
        from redis.exceptions import ResponseError

        if not pending:
            return 0.0
        try:
            oldest = (await redis.xpending(*key))["min"]
        except ResponseError:
            return None  # The group has gone in between.
        if oldest is None:
            return 0.0  # The last one was acknowledged in between.
        added_ms = float(str(oldest).partition("-")[0])
        return max(0.0, now_s - added_ms / 1e3) if added_ms >= _PLAUSIBLE_MS else None

    def _tell(self, found: Mapping[Gauge, Mapping[_Group, float]]) -> None:
        for gauge, before in self._told.items():
            now = found.get(gauge, {})
            for key, value in now.items():
                gauge.labels(*key).set(value)
            for key in before - now.keys():
                self._metrics.forget(gauge, *key)
            self._told[gauge] = set(now)


def _count(said: Any) -> float:
    count = float(said)
    if not 0 <= count < inf:
        raise ValueError("no count")
    return count


def client_of(url: str | None) -> Callable[[], Redis]:
    """
    Return what makes the client of REDIS_URL.

    Raises:
        ImproperlyConfigured: without the extra `redis`, without an address, and for one that is none.
    """
    if url is None:
        raise ImproperlyConfigured(
            "OBS_REDIS_STREAMS is set and REDIS_URL is not; set it to the Redis that has the streams."
        )
    try:
        from redis.asyncio import Redis
    except ImportError:
        raise ImproperlyConfigured(
            "OBS_REDIS_STREAMS is set and redis is not installed: pip install 'divan-obs-asgi[redis]'."
        ) from None

    def connect() -> Redis:
        return Redis.from_url(
            url,
            decode_responses=True,
            # The names of groups are bytes; one that is no text must not hide the others.
            encoding_errors="replace",
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
            client_name="divan-obs",
        )

    try:
        connect()
    except ValueError:
        raise ImproperlyConfigured("REDIS_URL is set to a bad value; expected redis://host:port/0.") from None
    return connect


__all__ = ["RedisStreams", "client_of"]
