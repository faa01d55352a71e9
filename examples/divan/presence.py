"""Presence and proximity: who was heard of lately, and who of them is near."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request, status
from pydantic import BaseModel, Field
from redis.asyncio import Redis

from examples.divan.auth import Caller
from examples.divan.counting import Counts

logger = logging.getLogger(__name__)

HEARTBEAT_LIFETIME_S = 90
# Redis keeps places as geohashes of the Mercator projection, which ends there (GEOADD).
MAX_LATITUDE = 85.05112878
MOST_PEOPLE = 50
CAMPUSES = ("north", "south")

_PLACES = "divan:presence:places"  # GEO: name -> place
_HEARD = "divan:presence:heard"  # sorted set: name -> Unix time of the last heartbeat


class Radius(IntEnum):
    """How far "near" reaches, in metres: a few classes, so that nobody is found by narrowing a circle."""

    AROUND = 100
    CAMPUS = 500
    DISTRICT = 2000


class Heartbeat(BaseModel):
    """Where somebody is now."""

    lat: Annotated[float, Field(ge=-MAX_LATITUDE, le=MAX_LATITUDE, allow_inf_nan=False)]
    lon: Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]
    campus_id: Annotated[str, Field(max_length=32)] = CAMPUSES[0]


class Person(BaseModel):
    """Somebody near, no more exactly than to ten metres."""

    name: str
    distance_m: int


class Nearby(BaseModel):
    """Who is near, the nearest first."""

    people: list[Person]


class Presence:
    """
    Who is where, forgotten `lifetime_s` seconds after the last heartbeat.

    Args:
        redis: a client that decodes responses.
        clock: Unix time in seconds.
    """

    def __init__(
        self, redis: Redis, *, lifetime_s: int = HEARTBEAT_LIFETIME_S, clock: Callable[[], float] = time.time
    ) -> None:
        self._redis = redis
        self._lifetime_s = lifetime_s
        self._clock = clock

    async def heartbeat(self, name: str, lat: float, lon: float) -> None:
        """Note that somebody is there, at that place."""
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.geoadd(_PLACES, [lon, lat, name])
            pipeline.zadd(_HEARD, {name: self._clock()})
            # When the whole campus has gone silent, there is nobody left who would clean up.
            pipeline.expire(_PLACES, self._lifetime_s)
            pipeline.expire(_HEARD, self._lifetime_s)
            await pipeline.execute()

    async def nearby(self, name: str, radius_m: int) -> list[Person] | None:
        """Return who else is within `radius_m` metres; None where nobody knows the place of `name` itself."""
        await self._forget_the_silent()
        (place,) = await self._redis.geopos(_PLACES, name)
        if place is None:
            return None
        lon, lat = place
        circle: Mapping[str, Any] = {"longitude": lon, "latitude": lat, "radius": radius_m, "unit": "m"}
        # One more than is answered, because one of them is `name`. redis-py's annotations do not know of `withdist`.
        found: Any = await self._redis.geosearch(_PLACES, **circle, sort="ASC", count=MOST_PEOPLE + 1, withdist=True)
        others = [Person(name=who, distance_m=round(distance_m / 10) * 10) for who, distance_m in found if who != name]
        return others[:MOST_PEOPLE]

    async def _forget_the_silent(self) -> None:
        silent = await self._redis.zrange(_HEARD, "-inf", self._clock() - self._lifetime_s, byscore=True)
        if not silent:
            return
        # A heartbeat that comes in just here is forgotten too; the next one makes up for it.
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.zrem(_PLACES, *silent)
            pipeline.zrem(_HEARD, *silent)
            await pipeline.execute()
        logger.debug("%d silent people forgotten", len(silent))


async def presence_of(request: Request) -> Presence:
    """Return the application's presence."""
    presence: Presence = request.app.state.presence
    return presence


Present = Annotated[Presence, Depends(presence_of)]

router = APIRouter(tags=["presence"])


@router.post("/presence/heartbeat", status_code=status.HTTP_204_NO_CONTENT, summary="Say where one is")
async def heartbeat(beat: Heartbeat, name: Caller, presence: Present, counts: Counts) -> None:
    if beat.campus_id not in CAMPUSES:
        counts.presence_rejected("unknown_campus")
        raise HTTPException(
            status.HTTP_422_UNPROCESSABLE_CONTENT, f"There is no such campus; expected {' or '.join(CAMPUSES)}."
        )
    await presence.heartbeat(name, beat.lat, beat.lon)
    counts.presence_heartbeat(beat.campus_id)


@router.get("/proximity/nearby", summary="See who is near")
async def nearby(
    name: Caller,
    presence: Present,
    counts: Counts,
    radius: Annotated[Radius, Query(description="Metres.")] = Radius.CAMPUS,
) -> Nearby:
    counts.proximity_query(radius.value)
    people = await presence.nearby(name, radius.value)
    if people is None:
        raise HTTPException(status.HTTP_409_CONFLICT, "Nobody knows where you are: POST /presence/heartbeat first.")
    return Nearby(people=people)
