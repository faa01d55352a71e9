"""Activities: what people do for themselves, and that they have done it."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Body, HTTPException, status
from pydantic import BaseModel

from examples.divan.auth import Caller
from examples.divan.parts import Counts, Database, IdInPath


class Kind(StrEnum):
    """What there is to do."""

    STUDY = "study"
    SPORT = "sport"
    COFFEE = "coffee"


class Activity(BaseModel):
    """An activity of the caller's."""

    id: int
    kind: Kind
    completed: bool


router = APIRouter(prefix="/activities", tags=["activities"])


@router.post("", status_code=status.HTTP_201_CREATED, summary="Begin something")
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
    kind = await database.value(change, now=int(time.time() * 1000), id=number, owner=owner)
    if kind is None:
        if await database.has(f"SELECT 1 FROM activities WHERE {mine}", id=number, owner=owner):
            raise HTTPException(status.HTTP_409_CONFLICT, "You have completed this activity already.")
        raise HTTPException(status.HTTP_404_NOT_FOUND, "You have no such activity.")
    counts.activity_completed(kind)
    return Activity(id=number, kind=kind, completed=True)
