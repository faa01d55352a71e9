"""Leaderboards: the consumer of events, on an embedded Redis and a real one, and what it leads to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

import divan_obs_asgi as obs
from examples.divan.events import DEAD_LETTERS, GROUP, STREAM, Event, EventConsumer, add_event
from examples.divan.leaderboards import PERIODS, freeze, score
from examples.divan.migrations import migrate
from examples.divan.storage import database_of, redis_of
from tests.example.service import ADMIN, Clock, befriend, moves_series, say, sign_in
from tests.patience import PATIENCE_S

SERIES = "lb_events_processed_total{{stream={stream}}}"


class Consuming:
    """A consumer beside a test, and what it has scored."""

    def __init__(self, environ: dict[str, str]) -> None:
        self.redis, self.waiting_redis = redis_of(environ)
        self.scored: list[str] = []
        self.metrics = obs.Observability.from_env({"OBS_LOGGING_ENABLED": "false"}).metrics

    def consumer(self, claim_after_s: float = 30.0) -> EventConsumer:
        return EventConsumer(self.waiting_redis, self._score, self.metrics.domain, claim_after_s=claim_after_s)

    def _score(self, pipeline: Any, event: Event) -> None:
        self.scored.append(event.name)
        pipeline.zincrby("scores", 1, event.name)

    async def scores(self) -> dict[str, float]:
        found: Any = await self.redis.zrange("scores", 0, -1, withscores=True)
        return dict(found)

    async def until(self, scores: dict[str, float], pending: int = 0) -> None:
        """Wait until these are the scores and so many events are pending."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if await self.scores() == scores and (await self.redis.xpending(STREAM, GROUP))["pending"] == pending:
                    break
                await asyncio.sleep(0.01)


@asynccontextmanager
async def consuming(environ: dict[str, str]) -> AsyncIterator[Consuming]:
    consuming = Consuming(environ)
    yield consuming
    await consuming.waiting_redis.aclose()
    await consuming.redis.aclose()


@pytest.mark.anyio
async def test_events_are_scored_and_acknowledged(environ: dict[str, str]) -> None:
    """Those from before the start, too; and the end does not wait for more."""
    async with consuming(environ) as it:
        await add_event(it.redis, "ada")
        async with it.consumer().running():
            await add_event(it.redis, "bob")
            await add_event(it.redis, "ada")
            await it.until({"ada": 2, "bob": 1})
            began_s = time.monotonic()
        assert time.monotonic() - began_s < 20
        await add_event(it.redis, "eve")
        assert await it.scores() == {"ada": 2, "bob": 1}


@pytest.mark.anyio
async def test_what_a_dead_consumer_has_left_is_taken_over(environ: dict[str, str]) -> None:
    """Given to it and never acknowledged, it is pending, and another consumer scores it."""
    async with consuming(environ) as it:
        await it.redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        await add_event(it.redis, "ada")
        await it.redis.xreadgroup(GROUP, "dead", {STREAM: ">"})
        async with it.consumer(claim_after_s=0.001).running():
            await it.until({"ada": 1})


@pytest.mark.anyio
async def test_a_consumer_that_comes_too_early_leaves_others_alone(environ: dict[str, str]) -> None:
    """What another one was given a moment ago, it may be working on."""
    async with consuming(environ) as it:
        await it.redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        await add_event(it.redis, "ada")
        await it.redis.xreadgroup(GROUP, "busy", {STREAM: ">"})
        async with it.consumer(claim_after_s=3600).running():
            await add_event(it.redis, "bob")
            await it.until({"bob": 1}, pending=1)


@pytest.mark.anyio
async def test_a_group_that_is_lost_is_made_again(environ: dict[str, str]) -> None:
    """As after a restart of a Redis that keeps nothing."""
    async with consuming(environ) as it, it.consumer().running():
        await add_event(it.redis, "ada")
        await it.until({"ada": 1})
        await it.redis.delete(STREAM)
        await add_event(it.redis, "ada")
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if await it.scores() == {"ada": 2}:
                    break
                await asyncio.sleep(0.01)


BAD_EVENTS: list[dict[Any, Any]] = [
    {"event": "no JSON"},
    {"event": b"\xff\xfe"},
    {"event": "null"},
    {"event": '{"name": "a\\u0000b", "at_ms": 1}'},
    {"event": '{"name": "\\ud800", "at_ms": 1}'},
    {"event": '{"name": "ada", "at_ms": -1}'},
    {"event": '{"name": "ada"}'},
    {"something": "else"},
    {"event": "[" * 100_000},
]


@pytest.mark.anyio
async def test_an_entry_that_is_not_an_event_goes_to_the_dead_letters(environ: dict[str, str]) -> None:
    """Each is counted and kept as it was, and what comes after it is scored."""
    async with consuming(environ) as it:
        async with it.consumer().running():
            for fields in BAD_EVENTS:
                await it.waiting_redis.xadd(STREAM, fields)
            await add_event(it.redis, "ada")
            await it.until({"ada": 1})
        letters: Any = await it.waiting_redis.xrange(DEAD_LETTERS)
    assert len(letters) == len(BAD_EVENTS)
    assert letters[1][1][b"event"] == b"\xff\xfe"
    series = it.metrics.lb_events_processed
    assert series.labels(DEAD_LETTERS)._value.get() == len(BAD_EVENTS)
    assert series.labels(STREAM)._value.get() == 1


@pytest.mark.anyio
async def test_dead_letters_are_counted_on_the_page(divan: httpx.AsyncClient) -> None:
    """Under a stream of their own."""
    redis: Redis = divan._transport.app.state.presence._redis  # type: ignore[attr-defined]
    async with moves_series(divan, {SERIES.format(stream=DEAD_LETTERS): 1}):
        await redis.xadd(STREAM, {"event": "no JSON"})


@pytest.mark.anyio
async def test_the_leaderboard_does_not_change_between_two_snapshots(divan: httpx.AsyncClient) -> None:
    """What the job has frozen is what everybody sees until it runs again: the campus, or one's friends and oneself."""
    ada, bob = await befriend(divan, "ada", "bob")
    eve = await sign_in(divan, "eve")
    assert (await divan.get("/leaderboards/day", headers=ada)).json() == []
    more = {SERIES.format(stream=STREAM): 5, "rooms_send_total": 5, "rooms_created_total": 1, "rooms_join_total": 2}
    async with moves_series(divan, more):
        for who in (ada, bob, bob, eve, eve):
            await say(divan, who, "Hello")
    for job_runs in range(2):
        done = await divan.post("/ops/rollover", headers=ADMIN)
        assert (done.status_code, done.json()) == (200, {"job": "lb_snapshot", "result": "ok"}), job_runs
    async with moves_series(divan, {SERIES.format(stream=STREAM): 1, "rooms_send_total": 1}):
        await say(divan, ada, "Hello again")
    for period in ("day", "week"):
        shown = {}
        for scope in ("campus", "friends"):
            answer = await divan.get(f"/leaderboards/{period}", params={"scope": scope}, headers=ada)
            shown[scope] = [(standing["name"], standing["messages"]) for standing in answer.json()]
        assert shown == {"campus": [("bob", 2), ("eve", 2), ("ada", 1)], "friends": [("bob", 2), ("ada", 1)]}
    for path in ("/leaderboards/year", "/leaderboards/day?scope=world"):
        assert (await divan.get(path, headers=ada)).status_code == 422


@pytest.mark.anyio
async def test_the_leaderboard_of_a_day_has_the_messages_of_a_day(environ: dict[str, str]) -> None:
    """Yesterday's count for the week only."""
    clock = Clock()
    database, (redis, waiting_redis) = database_of(environ), redis_of(environ)
    async with database:
        await migrate(database)
        for name in ("ada", "bob"):
            async with redis.pipeline() as pipeline:
                score(pipeline, Event(name=name, at_ms=int(clock.now * 1000)))
                await pipeline.execute()
            clock.now += 86_401 if name == "ada" else 0
        now_ms = int(clock.now * 1000)
        frozen = {
            period: [one.name for one in await freeze(database, redis, period, "campus", now_ms)] for period in PERIODS
        }
    assert frozen == {"day": ["bob"], "week": ["ada", "bob"]}
    await redis.aclose()
    await waiting_redis.aclose()
