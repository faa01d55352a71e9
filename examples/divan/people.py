"""People: invites, and friends (an accepted invite)."""

from typing import Annotated

from fastapi import APIRouter, Body, HTTPException, Response
from pydantic import BaseModel

from examples.divan.auth import Caller
from examples.divan.parts import Counts, Database, IdInPath, Name, now_ms
from examples.divan.storage import Sql


class Invite(BaseModel):
    id: int
    sender: str
    to: str


def pair_of(one: str, other: str) -> dict[str, str]:
    """Return two names in the order in which a pair is stored."""
    return {"low": min(one, other), "high": max(one, other)}


async def are_friends(database: Sql, one: str, other: str) -> bool:
    return await database.has("SELECT 1 FROM friendships WHERE low = :low AND high = :high", **pair_of(one, other))


async def friends_of(database: Sql, name: str) -> list[str]:
    lower = "SELECT low AS friend FROM friendships WHERE high = :name"
    higher = "SELECT high AS friend FROM friendships WHERE low = :name"
    return sorted(row["friend"] for row in await database.fetch_all(f"{lower} UNION ALL {higher}", {"name": name}))


router = APIRouter(tags=["people"])


@router.get("/friends", summary="See the names of one's friends")
async def read(name: Caller, database: Database) -> list[str]:
    return await friends_of(database, name)


@router.post("/invites", status_code=201, summary="Invite somebody; 200 where one has done so")
async def send(
    to: Annotated[Name, Body(embed=True)], sender: Caller, database: Database, counts: Counts, response: Response
) -> Invite:
    if to == sender:
        raise HTTPException(400, "You cannot invite yourself.")
    if await are_friends(database, sender, to):
        raise HTTPException(409, "You are friends already.")
    row = (
        "INSERT INTO invites (sender, recipient, sent_at_ms) SELECT CAST(:sender AS TEXT), name, :now FROM people"
        " WHERE name = :to ON CONFLICT DO NOTHING RETURNING id"
    )
    if (number := await database.value(row, sender=sender, to=to, now=now_ms())) is not None:
        counts.invite_sent()
        return Invite(id=number, sender=sender, to=to)
    query = "SELECT id FROM invites WHERE sender = :sender AND recipient = :to"
    if (number := await database.value(query, sender=sender, to=to)) is None:
        raise HTTPException(404, "Nobody of that name has signed in.")
    response.status_code = 200
    return Invite(id=number, sender=sender, to=to)


@router.post("/invites/{number}/accept", summary="Become friends with who has sent an invite")
async def accept(number: IdInPath, name: Caller, database: Database, counts: Counts) -> Invite:
    mine = "id = :id AND recipient = :name"
    change = f"UPDATE invites SET accepted_at_ms = :now WHERE {mine} AND accepted_at_ms IS NULL RETURNING sender"
    row = "INSERT INTO friendships (low, high) VALUES (:low, :high) ON CONFLICT DO NOTHING RETURNING low"
    async with database.changes():
        # Of two requests at the same moment one waits for the other's row, and then finds it accepted.
        sender = await database.value(change, id=number, name=name, now=now_ms())
        are_new_friends = sender is not None and await database.has(row, **pair_of(sender, name))
    if sender is None:
        if await database.has(f"SELECT 1 FROM invites WHERE {mine}", id=number, name=name):
            raise HTTPException(409, "You have accepted this invite already.")
        raise HTTPException(404, "Unknown invite, or not for you.")
    counts.invite_accepted()
    if are_new_friends:
        counts.friendship_accepted()
    return Invite(id=number, sender=sender, to=name)
