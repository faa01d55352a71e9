"""
The stream of what people do, and the consumer that feeds the leaderboards.

An event is acknowledged in the transaction that stores its result. If a worker dies before that, the event stays
pending and another worker takes it over: it is counted twice at most, and never lost. An entry that is not an event
goes to the stream of dead letters.
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from divan_obs_asgi.metrics import Domain
from divan_obs_asgi.tracing.spans.internal import untraced
from examples.divan.parts import Name, now_ms

logger = logging.getLogger(__name__)
STREAM, DEAD_LETTERS, GROUP = "divan:events", "divan:events:dead", "leaderboards"
# The oldest entries are dropped. Consumers may be behind by this many before something is lost.
MOST_EVENTS, MOST_DEAD_LETTERS = 1_000_000, 10_000
BATCH = 100
# For news, after a failure, and after a batch: so the next one has several events, which cost less together.
WAIT_MS, RETRY_S, PAUSE_S = 2000, 1.0, 0.1


class Event(BaseModel):
    """Somebody has sent a message."""

    name: Name
    at_ms: Annotated[int, Field(ge=0, lt=2**53)]


async def add_event(redis: Redis, name: str) -> None:
    event = Event(name=name, at_ms=now_ms()).model_dump_json()
    await redis.xadd(STREAM, {"event": event}, maxlen=MOST_EVENTS, approximate=True)


class EventConsumer:
    """A consumer of the group: `redis` returns bytes, `store` adds the commands that count an event to a pipeline."""

    def __init__(
        self, redis: Redis, store: Callable[[Any, Event], None], counts: Domain, *, claim_after_s: float = 30.0
    ) -> None:
        self._redis, self._store, self._counts = redis, store, counts
        self._claim_after_s, self._next_claim = claim_after_s, 0.0
        self._name = f"{socket.gethostname()}-{os.getpid()}"
        self._is_busy = self._is_ending = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Consume during the block; a batch that has begun is finished, for 1.5 s at most."""
        task = asyncio.create_task(self._run(), name="leaderboards")
        try:
            yield
        finally:
            self._is_ending = True
            if self._is_busy:
                await asyncio.wait({task}, timeout=1.5)
            task.cancel()
            await asyncio.wait({task}, timeout=0.4)

    async def _run(self) -> None:
        is_well = True
        # Spans of blocking reads would not belong to a request.
        with untraced():
            while not self._is_ending:
                try:
                    await self._make_group()
                    is_well = True
                    while not self._is_ending:
                        await self._take(await self._next())
                        await asyncio.sleep(PAUSE_S)
                except Exception as error:
                    if is_well:
                        logger.warning("events wait, because Redis fails with %s", type(error).__name__)
                    is_well = False
                    await asyncio.sleep(RETRY_S)

    async def _make_group(self) -> None:
        try:
            await self._redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):  # The group exists.
                raise

    async def _next(self) -> Any:
        """Return the entries that a dead or failing consumer has held for too long, or else new ones."""
        if time.monotonic() >= self._next_claim:
            idle_ms = int(self._claim_after_s * 1000)
            # Redis 6.2 has no third part.
            claimed: Any = await self._redis.xautoclaim(STREAM, GROUP, self._name, idle_ms, count=BATCH)
            if claimed[1]:
                return claimed[1]
            self._next_claim = time.monotonic() + self._claim_after_s / 2
        found: Any = await self._redis.xreadgroup(GROUP, self._name, {STREAM: ">"}, count=BATCH, block=WAIT_MS)
        return found[0][1] if found else ()

    async def _take(self, entries: Any) -> None:
        self._is_busy, streams = bool(entries), []
        try:
            async with self._redis.pipeline(transaction=True) as pipeline:
                for number, fields in entries:
                    streams.append(self._add(pipeline, number, fields or {}))
                    pipeline.xack(STREAM, GROUP, number)
                await pipeline.execute()
            for stream in streams:
                self._counts.leaderboard_event(stream)
        finally:
            self._is_busy = False

    def _add(self, pipeline: Any, number: bytes, fields: dict[bytes, bytes]) -> str:
        """Add the commands for an entry to a pipeline, and return the stream under which it is counted."""
        try:
            self._store(pipeline, Event.model_validate_json(fields.get(b"event", b"")))
        except ValidationError:
            pipeline.xadd(DEAD_LETTERS, {b"id": number, **fields}, maxlen=MOST_DEAD_LETTERS, approximate=True)
            return DEAD_LETTERS
        return STREAM
