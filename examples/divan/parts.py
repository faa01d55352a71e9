"""Dependencies of the routes: the parts that `create_app` puts together, and the types of valid values."""

import time
from typing import Annotated, Any

from fastapi import Body, Depends, Path, Query, Request
from pydantic import Field, StringConstraints
from redis.asyncio import Redis

from divan_obs_asgi.metrics import Domain
from examples.divan.storage import Sql


def part(name: str) -> Any:
    """Return a dependency: the part called `name` of the application that serves the request."""

    async def of(request: Request) -> Any:
        return getattr(request.app.state, name)

    return Depends(of)


def now_ms() -> int:
    return int(time.time() * 1000)


# Each hook logs a line once the thing is stored.
Counts = Annotated[Domain, part("domain")]
Database = Annotated[Sql, part("database")]
RedisClient = Annotated[Redis, part("redis")]

ROOM_PATTERN = r"^[a-z0-9][a-z0-9-]{0,31}$"
# PostgreSQL's BIGINT ends there, and so does SQLite's INTEGER.
MAX_ID = 2**63 - 1

Name = Annotated[str, Field(pattern=r"^[\w-]{1,32}$", description="Letters, digits, _ and -.")]
Room = Annotated[str, Field(pattern=ROOM_PATTERN, description="Lower case letters, digits and -.")]
Id = Annotated[int, Field(ge=1, le=MAX_ID)]
IdInPath = Annotated[Id, Path()]
# PostgreSQL's text holds any character but NUL.
_TEXT = StringConstraints(strip_whitespace=True, min_length=1, max_length=2000, pattern=r"^[^\x00]+$")
Text = Annotated[str, _TEXT, Body(embed=True)]
Limit = Annotated[int, Query(ge=1, le=100)]
Before = Annotated[Id, Query(description="The `before` of the last page.")]
