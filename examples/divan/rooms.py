"""Rooms: their members and messages."""

import logging
from typing import Annotated

from fastapi import APIRouter, Body, Depends, HTTPException, Path

from examples.divan.auth import Caller
from examples.divan.chat import Message, Page, page_of, store_message
from examples.divan.events import add_event
from examples.divan.parts import MAX_ID, Before, Counts, Database, Limit, RedisClient, Room, Text
from examples.divan.realtime import NOT_A_MEMBER, Live
from examples.divan.storage import Sql

logger = logging.getLogger(__name__)
NO_ROOM = "Unknown room: POST /rooms creates one."
RoomInPath = Annotated[Room, Path()]


async def has_member(database: Sql, room: str, name: str) -> bool | None:
    """Return whether somebody is in a room; None if the room does not exist."""
    query = "SELECT member FROM rooms LEFT JOIN room_members ON room = name AND member = :member WHERE name = :room"
    row = await database.fetch_one(query, {"room": room, "member": name})
    return None if row is None else row["member"] is not None


async def add_member(database: Sql, room: str, name: str) -> bool:
    """Add somebody to a room; return False if they are in it, or if the room does not exist."""
    row = (
        "INSERT INTO room_members (room, member) SELECT name, CAST(:member AS TEXT) FROM rooms WHERE name = :room"
        " ON CONFLICT DO NOTHING RETURNING member"
    )
    return await database.has(row, room=room, member=name)


async def room_of_member(room: RoomInPath, name: Caller, database: Database) -> str:
    is_member = await has_member(database, room, name)
    if not is_member:
        raise HTTPException(404, NO_ROOM) if is_member is None else HTTPException(403, NOT_A_MEMBER)
    return room


Joined = Annotated[str, Depends(room_of_member)]
router = APIRouter(prefix="/rooms", tags=["rooms"])


@router.post("", status_code=201, summary="Make a room, and be its first member")
async def create(
    name: Annotated[Room, Body(embed=True)], creator: Caller, database: Database, counts: Counts
) -> dict[str, str]:
    row = "INSERT INTO rooms (name) VALUES (:name) ON CONFLICT DO NOTHING RETURNING name"
    async with database.changes():
        is_new = await database.has(row, name=name) and await add_member(database, name, creator)
    if not is_new:
        raise HTTPException(409, "There is a room of that name.")
    counts.room_created()
    return {"name": name}


@router.post("/{room}/join", summary="Join a room; once more changes nothing")
async def join(room: RoomInPath, name: Caller, database: Database, counts: Counts) -> dict[str, str]:
    if await add_member(database, room, name):
        counts.room_joined()
    elif not await has_member(database, room, name):
        raise HTTPException(404, NO_ROOM)
    return {"name": room}


@router.post("/{room}/messages", status_code=201, summary="Say something in a room")
async def send(
    room: Joined, text: Text, sender: Caller, database: Database, redis: RedisClient, live: Live, counts: Counts
) -> Message:
    # The message and the event that the leaderboards count, or neither.
    async with database.changes():
        message = await store_message(database, room, sender, text)
        await add_event(redis, sender)
    counts.room_message_sent()
    await live.emit_to_room(room, "message", message.model_dump())
    logger.info("message %d sent, %d characters", message.id, len(message.text))
    return message


@router.get("/{room}/messages", summary="Read what was said, the newest first")
async def read(room: Joined, database: Database, limit: Limit = 50, before: Before = MAX_ID) -> Page:
    return await page_of(database, room, limit, before)
