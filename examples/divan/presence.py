"""Presence and proximity: who sent a heartbeat lately, and who of them is near."""

import time
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel
from redis.asyncio import Redis

from examples.divan.auth import Caller
from examples.divan.parts import Counts, part

# Redis keeps places as geohashes of the Mercator projection, which ends there (GEOADD).
MAX_LATITUDE = 85.05112878
MOST_PEOPLE = 50
CAMPUSES = ("north", "south")

# The reasons to refuse a heartbeat, with status and message.
REASONS = {
    "unknown_campus": (400, f"Unknown campus; expected {' or '.join(CAMPUSES)}."),
    "outside_world": (400, f"Unknown place: lat is at most {MAX_LATITUDE}, and lon 180, in either direction."),
    "too_often": (429, "One heartbeat a second will do."),
}

_PLACES = "divan:presence:places"  # GEO: name -> place
_HEARD = "divan:presence:heard"  # sorted set: name -> Unix time of the last heartbeat
_PAUSE = "divan:presence:pause:{name}"  # exists while the next heartbeat of this person would be too early

# The radius of "near", in metres: a few values, so that nobody can be located by narrowing a circle.
Radius = IntEnum("Radius", {"AROUND": 100, "CAMPUS": 500, "DISTRICT": 2000})


class Heartbeat(BaseModel):
    # Values are validated where refusals are counted.
    lat: float
    lon: float
    campus_id: str = CAMPUSES[0]


class Person(BaseModel):
    name: str
    distance_m: int  # to ten metres


class Presence:
    """Places of people, kept for `lifetime_s` after a heartbeat; another heartbeat within `pause_s` is refused."""

    def __init__(
        self, redis: Redis, *, lifetime_s: int = 90, pause_s: float = 1.0, clock: Callable[[], float] = time.time
    ) -> None:
        self._redis, self._clock = redis, clock
        self._lifetime_s, self._pause_s = lifetime_s, pause_s

    async def heartbeat(self, name: str, lat: float, lon: float) -> bool:
        """Note that somebody is at a place; return False if the heartbeat is too early."""
        if not await self._redis.set(_PAUSE.format(name=name), 1, nx=True, px=max(1, int(self._pause_s * 1000))):
            return False
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.geoadd(_PLACES, [lon, lat, name])
            pipeline.zadd(_HEARD, {name: self._clock()})
            # When the whole campus is silent, no heartbeat cleans up.
            pipeline.expire(_PLACES, self._lifetime_s)
            pipeline.expire(_HEARD, self._lifetime_s)
            await pipeline.execute()
        return True

    async def nearby(self, name: str, radius_m: int) -> list[Person] | None:
        """Return who else is within `radius_m` metres; None if the place of `name` is not known."""
        if silent := await self._redis.zrange(_HEARD, "-inf", self._clock() - self._lifetime_s, byscore=True):
            # A heartbeat that arrives at this moment is forgotten too; the next one repairs that.
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.zrem(_PLACES, *silent)
                pipeline.zrem(_HEARD, *silent)
                await pipeline.execute()
        (place,) = await self._redis.geopos(_PLACES, name)
        if place is None:
            return None
        lon, lat = place
        circle: Mapping[str, Any] = {"longitude": lon, "latitude": lat, "radius": radius_m, "unit": "m"}
        # One more than is returned, because one of them is `name`. redis-py's annotations lack `withdist`.
        found: Any = await self._redis.geosearch(_PLACES, **circle, sort="ASC", count=MOST_PEOPLE + 1, withdist=True)
        others = [Person(name=who, distance_m=round(distance_m / 10) * 10) for who, distance_m in found if who != name]
        return others[:MOST_PEOPLE]


Present = Annotated[Presence, part("presence")]
Metres = Annotated[Radius, Query(description="Metres.")]
router = APIRouter(tags=["presence"])


@router.post("/presence/heartbeat", status_code=204, summary="Say where one is")
async def heartbeat(beat: Heartbeat, name: Caller, presence: Present, counts: Counts) -> None:
    if beat.campus_id not in CAMPUSES:
        reason = "unknown_campus"
    elif not (abs(beat.lat) <= MAX_LATITUDE and abs(beat.lon) <= 180):  # false for nan, too
        reason = "outside_world"
    elif not await presence.heartbeat(name, beat.lat, beat.lon):
        reason = "too_often"
    else:
        counts.presence_heartbeat(beat.campus_id)
        return
    counts.presence_rejected(reason)
    code, detail = REASONS[reason]
    raise HTTPException(code, detail, headers={"Retry-After": "1"} if code == 429 else None)


@router.get("/proximity/nearby", summary="See who is near")
async def nearby(
    name: Caller, presence: Present, counts: Counts, radius: Metres = Radius.CAMPUS
) -> dict[str, list[Person]]:
    if (people := await presence.nearby(name, radius.value)) is None:
        raise HTTPException(409, "Nobody knows where you are: POST /presence/heartbeat first.")
    counts.proximity_query(radius.value)
    return {"people": people}
