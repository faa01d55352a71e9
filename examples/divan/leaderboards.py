"""Leaderboards: who has said most in rooms, scored as it happens, frozen by a job and read by everybody."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, TypeAdapter
from redis.asyncio import Redis

import divan_obs_asgi as obs
from examples.divan.auth import Caller
from examples.divan.events import Event
from examples.divan.parts import Database, part
from examples.divan.people import friends_of
from examples.divan.storage import Sql

MOST_SHOWN = 10

_DAY_MS = 86_400_000
_SCORES = "divan:scores:{day}"  # sorted set: name -> messages of a day, by UTC


class Period(StrEnum):
    """How far back a leaderboard looks: today, or today and the six days before."""

    DAY = "day"
    WEEK = "week"


class Scope(StrEnum):
    """Who is on it: everybody, or the reader and their friends."""

    CAMPUS = "campus"
    FRIENDS = "friends"


_DAYS = {Period.DAY: 1, Period.WEEK: 7}
# Of the whole campus only the best are shown; one's friends may be anybody.
_FROZEN = {Scope.CAMPUS: MOST_SHOWN, Scope.FRIENDS: 10_000}


class Standing(BaseModel):
    """Somebody's place."""

    name: str
    messages: int


_STANDINGS = TypeAdapter(list[Standing])


class Leaderboards:
    """Scores in Redis, a sorted set a day; their snapshots in SQL."""

    def __init__(self, database: Sql, redis: Redis, *, clock: Callable[[], float] = time.time) -> None:
        self._database, self._redis, self._clock = database, redis, clock

    def score(self, pipeline: Any, event: Event) -> None:
        """Add to a pipeline what counts an event."""
        key = _SCORES.format(day=event.at_ms // _DAY_MS)
        pipeline.zincrby(key, 1, event.name)
        pipeline.expire(key, 9 * 86_400)

    async def freeze(self, period: Period, scope: Scope) -> list[Standing]:
        """Have everybody see the scores of this moment until the next time."""
        today = int(self._clock() * 1000) // _DAY_MS
        keys = [_SCORES.format(day=today - ago) for ago in range(_DAYS[period])]
        scores: Any = await self._redis.zunion(keys, withscores=True)
        ranked = sorted(((-int(score), name) for name, score in scores))[: _FROZEN[scope]]
        standings = [Standing(name=name, messages=-score) for score, name in ranked]
        row = (
            "INSERT INTO lb_snapshots (period, scope, standings) VALUES (:period, :scope, :standings)"
            " ON CONFLICT (period, scope) DO UPDATE SET standings = excluded.standings"
        )
        frozen = {"period": period, "scope": scope, "standings": _STANDINGS.dump_json(standings).decode()}
        await self._database.execute(row, frozen)
        return standings

    async def standings(self, period: Period, scope: Scope) -> list[Standing]:
        """Return what was frozen last; nothing before the first time."""
        query = "SELECT standings FROM lb_snapshots WHERE period = :period AND scope = :scope"
        frozen: str | None = await self._database.value(query, period=period, scope=scope)
        return _STANDINGS.validate_json(frozen) if frozen else []


def freeze_by_job(observability: obs.Observability, leaderboards: Leaderboards) -> None:
    """Have POST /ops/rollover, and whoever else wants to, freeze the leaderboards."""

    @observability.job("lb_snapshot")
    async def lb_snapshot() -> None:
        for period in Period:
            for scope in Scope:
                await leaderboards.freeze(period, scope)
                observability.metrics.domain.leaderboard_snapshot(period, scope)


Kept = Annotated[Leaderboards, part("leaderboards")]

router = APIRouter(tags=["leaderboards"])


@router.get("/leaderboards/{period}", summary="See who has said most, as of the last snapshot")
async def read(
    period: Period, name: Caller, database: Database, leaderboards: Kept, scope: Scope = Scope.CAMPUS
) -> list[Standing]:
    standings = await leaderboards.standings(period, scope)
    if scope is Scope.FRIENDS:
        shown = {name, *await friends_of(database, name)}
        standings = [standing for standing in standings if standing.name in shown]
    return standings[:MOST_SHOWN]
