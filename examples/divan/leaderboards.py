"""Leaderboards: who has sent most messages to rooms. Scores change at once; a job freezes the ones that people see."""

import json
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel
from redis.asyncio import Redis

import divan_obs_asgi as obs
from examples.divan.auth import Caller
from examples.divan.events import Event
from examples.divan.parts import Database, now_ms
from examples.divan.people import friends_of
from examples.divan.storage import Sql

MOST_SHOWN = 10
_DAY_MS = 86_400_000
_SCORES = "divan:scores:{day}"  # sorted set: name -> messages of a day, by UTC

Period = Literal["day", "week"]
Scope = Literal["campus", "friends"]
# How many days back a leaderboard looks, today included.
PERIODS: dict[Period, int] = {"day": 1, "week": 7}
# Places of a snapshot. The campus leaderboard shows only the best; a friend may have any place.
SCOPES: dict[Scope, int] = {"campus": MOST_SHOWN, "friends": 10_000}


class Place(BaseModel):
    name: str
    messages: int


def score(pipeline: Any, event: Event) -> None:
    """Add the commands that count an event to a pipeline."""
    key = _SCORES.format(day=event.at_ms // _DAY_MS)
    pipeline.zincrby(key, 1, event.name)
    pipeline.expire(key, 9 * 86_400)


async def freeze(database: Sql, redis: Redis, period: Period, scope: Scope, at_ms: int) -> list[Place]:
    """Show the current scores to everybody until the next call."""
    keys = [_SCORES.format(day=at_ms // _DAY_MS - ago) for ago in range(PERIODS[period])]
    scores: Any = await redis.zunion(keys, withscores=True)
    ranked = sorted(((-int(score), name) for name, score in scores))[: SCOPES[scope]]
    standings = [Place(name=name, messages=-score) for score, name in ranked]
    frozen = json.dumps([standing.model_dump() for standing in standings])
    row = (
        "INSERT INTO lb_snapshots (period, scope, standings) VALUES (:period, :scope, :standings)"
        " ON CONFLICT (period, scope) DO UPDATE SET standings = excluded.standings"
    )
    await database.execute(row, {"period": period, "scope": scope, "standings": frozen})
    return standings


def freeze_by_job(observability: obs.Observability, database: Sql, redis: Redis) -> None:
    """Make the job that POST /ops/rollover starts freeze the leaderboards."""

    @observability.job("lb_snapshot")
    async def lb_snapshot() -> None:
        for period in PERIODS:
            for scope in SCOPES:
                await freeze(database, redis, period, scope, now_ms())
                observability.metrics.domain.leaderboard_snapshot(period, scope)


router = APIRouter(tags=["leaderboards"])


@router.get("/leaderboards/{period}", summary="See who has said most, as of the last snapshot")
async def read(period: Period, name: Caller, database: Database, scope: Scope = "campus") -> list[Place]:
    query = "SELECT standings FROM lb_snapshots WHERE period = :period AND scope = :scope"
    frozen = json.loads(await database.value(query, period=period, scope=scope) or "[]")
    shown = {name, *await friends_of(database, name)} if scope == "friends" else None
    return [Place(**one) for one in frozen if shown is None or one["name"] in shown][:MOST_SHOWN]
