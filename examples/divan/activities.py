"""Activities: tasks that people set themselves, and whether they are done."""

from typing import Annotated, Literal

from fastapi import APIRouter, Body, HTTPException
from pydantic import BaseModel

from examples.divan.auth import Caller
from examples.divan.parts import Counts, Database, IdInPath, now_ms

Kind = Literal["study", "sport", "coffee"]


class Activity(BaseModel):
    id: int
    kind: Kind
    completed: bool


router = APIRouter(prefix="/activities", tags=["activities"])


@router.post("", status_code=201, summary="Begin something")
async def create(
    kind: Annotated[Kind, Body(embed=True)], owner: Caller, database: Database, counts: Counts
) -> Activity:
    row = "INSERT INTO activities (owner, kind) VALUES (:owner, :kind) RETURNING id"
    number = await database.value(row, owner=owner, kind=kind)
    counts.activity_created(kind)
    return Activity(id=number, kind=kind, completed=False)


@router.post("/{number}/complete", summary="Be done with it")
async def complete(number: IdInPath, owner: Caller, database: Database, counts: Counts) -> Activity:
    mine = "id = :id AND owner = :owner"
    change = f"UPDATE activities SET completed_at_ms = :now WHERE {mine} AND completed_at_ms IS NULL RETURNING kind"
    if (kind := await database.value(change, now=now_ms(), id=number, owner=owner)) is None:
        if await database.has(f"SELECT 1 FROM activities WHERE {mine}", id=number, owner=owner):
            raise HTTPException(409, "You have completed this activity already.")
        raise HTTPException(404, "You have no such activity.")
    counts.activity_completed(kind)
    return Activity(id=number, kind=kind, completed=True)
