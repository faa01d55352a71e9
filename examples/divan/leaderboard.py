"""Leaderboards: who has said most, frozen by a job and read by everybody."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated

from databases import Database
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, TypeAdapter
from redis.asyncio import Redis

from examples.divan.auth import Caller

SCOPE = "all"
MOST_STANDINGS = 10

_FROZEN = "divan:leaderboard:{period}"


class Period(StrEnum):
    """How far back a leaderboard looks."""

    DAY = "day"
    WEEK = "week"


_SECONDS = {Period.DAY: 86_400, Period.WEEK: 7 * 86_400}


class Standing(BaseModel):
    """Somebody's place."""

    name: str
    messages: int


_STANDINGS = TypeAdapter(list[Standing])


class Leaderboard:
    """
    Who has said most, as of the last snapshot.

    Args:
        clock: Unix time in seconds.
    """

    def __init__(self, database: Database, redis: Redis, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._redis = redis
        self._clock = clock

    async def freeze(self, period: Period) -> list[Standing]:
        """Count the messages of a period, and have everybody see that count until the next time."""
        rows = await self._database.fetch_all(
            "SELECT sender AS name, count(*) AS messages FROM messages WHERE sent_at_ms >= :since"
            " GROUP BY sender ORDER BY messages DESC, name LIMIT :most",
            {"since": int((self._clock() - _SECONDS[period]) * 1000), "most": MOST_STANDINGS},
        )
        standings = [Standing.model_validate(dict(row._mapping)) for row in rows]
        await self._redis.set(_FROZEN.format(period=period), _STANDINGS.dump_json(standings), ex=2 * _SECONDS[period])
        return standings

    async def standings(self, period: Period) -> list[Standing]:
        """Return what was frozen last; nothing before the first time."""
        frozen = await self._redis.get(_FROZEN.format(period=period))
        return _STANDINGS.validate_json(frozen) if frozen else []


async def leaderboard_of(request: Request) -> Leaderboard:
    """Return the application's leaderboard."""
    leaderboard: Leaderboard = request.app.state.leaderboard
    return leaderboard


router = APIRouter(tags=["leaderboards"])


@router.get("/leaderboards/{period}", summary="See who has said most, as of the last snapshot")
async def read(
    period: Period, name: Caller, leaderboard: Annotated[Leaderboard, Depends(leaderboard_of)]
) -> list[Standing]:
    return await leaderboard.standings(period)
