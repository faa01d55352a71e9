"""Chat: messages of rooms and between two friends, and how far the other has received and read them."""

import logging
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Body, Depends, HTTPException, Path
from pydantic import BaseModel

from divan_obs_asgi.metrics import Domain
from examples.divan.auth import Caller
from examples.divan.parts import MAX_ID, Before, Counts, Database, Id, Limit, Name, Text, now_ms
from examples.divan.people import are_friends, pair_of
from examples.divan.realtime import Live
from examples.divan.storage import Sql
from examples.divan.unavailable import STORE_ERRORS

logger = logging.getLogger(__name__)

# The tables of how far somebody has received and read.
DELIVERED, READ = "delivery_marks", "read_marks"


class Message(BaseModel):
    """A message as everyone sees it; `room` is a room's name, or the two names of friends."""

    id: int
    room: str
    sender: str
    text: str
    sent_at_ms: int


class Page(BaseModel):
    """Some messages, the newest first; `before` asks for the next page, and is null on the last one."""

    messages: list[Message]
    before: int | None


async def store_message(database: Sql, room: str, sender: str, text: str) -> Message:
    new = {"room": room, "sender": sender, "text": text, "sent_at_ms": now_ms()}
    row = "INSERT INTO messages (room, sender, text, sent_at_ms) VALUES (:room, :sender, :text, :sent_at_ms)"
    number = await database.value(f"{row} RETURNING id", **new)
    return Message.model_validate({"id": number, **new})


async def page_of(database: Sql, room: str, limit: int, before: int) -> Page:
    """Return up to `limit` messages older than the one with the id `before`."""
    columns = ", ".join(Message.model_fields)
    query = f"SELECT {columns} FROM messages WHERE room = :room AND id < :before ORDER BY id DESC LIMIT :limit"
    # One more message shows whether there is a next page.
    rows = await database.fetch_all(query, {"room": room, "before": before, "limit": limit + 1})
    messages = [Message.model_validate(dict(row._mapping)) for row in rows[:limit]]
    return Page(messages=messages, before=messages[-1].id if len(rows) > limit else None)


async def move_mark(database: Sql, mark: str, room: str, reader: str, number: int) -> bool:
    """Move the reader's mark up to a message; return False if it was there or further already."""
    row = (
        f"INSERT INTO {mark} (room, reader, message_id) VALUES (:room, :reader, :number)"
        " ON CONFLICT (room, reader) DO UPDATE SET message_id = excluded.message_id"
        f" WHERE {mark}.message_id < excluded.message_id RETURNING message_id"
    )
    return await database.has(row, room=room, reader=reader, number=number)


Peer = Annotated[Name, Path()]
MessageId = Annotated[Id, Body(embed=True)]


async def room_with(peer: Peer, name: Caller, database: Database) -> str:
    """Return the room of the caller and a friend; no other room can have this name."""
    if not await are_friends(database, name, peer):
        raise HTTPException(403, "You are not friends: POST /invites first.")
    return "@" + ":".join(pair_of(name, peer).values())


RoomWithPeer = Annotated[str, Depends(room_with)]
router = APIRouter(prefix="/chat/{peer}", tags=["chat"])


@router.post("/messages", status_code=201, summary="Say something to a friend")
async def send(
    room: RoomWithPeer, peer: Peer, name: Caller, text: Text, database: Database, live: Live, counts: Counts
) -> Message:
    message = await store_message(database, room, name, text)
    counts.chat_sent()
    acknowledged = partial(delivered, database, counts, peer, message)
    await live.emit_to_person(peer, "message", message.model_dump(), acknowledged)
    logger.info("message %d sent, %d characters", message.id, len(message.text))
    return message


async def delivered(database: Sql, counts: Domain, reader: str, message: Message, *_: object) -> None:
    """Note that a client of the reader has acknowledged a message, with whatever content."""
    try:
        moved = await move_mark(database, DELIVERED, message.room, reader, message.id)
    except STORE_ERRORS as error:
        # Nobody waits for a response, and the next message moves the mark as far.
        logger.warning("a delivery was not noted: %s", type(error).__name__)
        return
    if moved:
        counts.chat_delivered()


@router.get("/messages", summary="Read what was said, the newest first")
async def read(room: RoomWithPeer, database: Database, limit: Limit = 50, before: Before = MAX_ID) -> Page:
    return await page_of(database, room, limit, before)


@router.post("/read", status_code=204, summary="Say how far one has read")
async def mark_read(
    room: RoomWithPeer, peer: Peer, name: Caller, message_id: MessageId, database: Database, live: Live, counts: Counts
) -> None:
    query = "SELECT 1 FROM messages WHERE id = :id AND room = :room"
    if not await database.has(query, id=message_id, room=room):
        raise HTTPException(404, "Unknown message.")
    if await move_mark(database, READ, room, name, message_id):
        counts.chat_read()
        await live.emit_to_person(peer, "read", {"reader": name, "message_id": message_id})
