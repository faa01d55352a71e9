"""Chat: what is said in a room, and how far each has read it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Annotated

from databases import Database
from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request, status
from pydantic import BaseModel, Field, StringConstraints

from examples.divan.auth import Caller
from examples.divan.counting import Counts
from examples.divan.realtime import ROOM_PATTERN, ChatServer

logger = logging.getLogger(__name__)

# PostgreSQL's text holds any character but NUL.
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000, pattern=r"^[^\x00]+$")]
RoomName = Annotated[str, Path(pattern=ROOM_PATTERN)]
MessageId = Annotated[int, Field(ge=1, lt=2**63)]


class NewMessage(BaseModel):
    """A message as it is sent."""

    text: Text


class Message(BaseModel):
    """A message as everyone sees it."""

    id: int
    room: str
    sender: str
    text: str
    sent_at_ms: int


class Page(BaseModel):
    """Some messages of a room, the newest first; `before` asks for the next page, and is null on the last one."""

    messages: list[Message]
    before: int | None


class ReadMark(BaseModel):
    """The newest message that a reader has seen."""

    message_id: MessageId


class Messages:
    """The messages and read marks of all rooms, in SQL."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    async def add(self, room: str, sender: str, text: str) -> Message:
        """Store a message and return it with its id."""
        new = {"room": room, "sender": sender, "text": text, "sent_at_ms": int(self._clock() * 1000)}
        number: int = await self._database.fetch_val(
            "INSERT INTO messages (room, sender, text, sent_at_ms) VALUES (:room, :sender, :text, :sent_at_ms)"
            " RETURNING id",
            new,
        )
        return Message.model_validate({"id": number, **new})

    async def page(self, room: str, limit: int, before: int) -> Page:
        """Return up to `limit` messages older than the one with the id `before`."""
        rows = await self._database.fetch_all(
            "SELECT id, room, sender, text, sent_at_ms FROM messages WHERE room = :room AND id < :before"
            " ORDER BY id DESC LIMIT :limit",
            {"room": room, "before": before, "limit": limit + 1},  # one more tells whether there are more
        )
        messages = [Message.model_validate(dict(row._mapping)) for row in rows[:limit]]
        return Page(messages=messages, before=messages[-1].id if len(rows) > limit else None)

    async def has(self, room: str, message_id: int) -> bool:
        """Tell whether there is such a message in the room."""
        query = "SELECT 1 FROM messages WHERE id = :id AND room = :room"
        return await self._database.fetch_val(query, {"id": message_id, "room": room}) is not None

    async def mark_read(self, room: str, reader: str, message_id: int) -> bool:
        """Move the reader's mark up to a message; False where it stood there or further already."""
        moved = await self._database.fetch_one(
            "INSERT INTO read_marks (room, reader, message_id) VALUES (:room, :reader, :message_id)"
            " ON CONFLICT (room, reader) DO UPDATE SET message_id = excluded.message_id"
            " WHERE read_marks.message_id < excluded.message_id RETURNING message_id",
            {"room": room, "reader": reader, "message_id": message_id},
        )
        return moved is not None


async def messages_of(request: Request) -> Messages:
    """Return the application's messages."""
    messages: Messages = request.app.state.messages
    return messages


async def server_of(request: Request) -> ChatServer:
    """Return the application's Socket.IO server."""
    server: ChatServer = request.app.state.chat_server
    return server


Stored = Annotated[Messages, Depends(messages_of)]
Live = Annotated[ChatServer, Depends(server_of)]

router = APIRouter(prefix="/chat/{room}", tags=["chat"])


@router.post("/messages", status_code=status.HTTP_201_CREATED, summary="Say something in a room")
async def send(room: RoomName, new: NewMessage, sender: Caller, stored: Stored, live: Live, counts: Counts) -> Message:
    message = await stored.add(room, sender, new.text)
    counts.chat_sent()
    await live.tell(room, "message", message.model_dump())
    logger.info("message %d sent, %d characters", message.id, len(message.text))
    return message


@router.get("/messages", summary="Read what was said, the newest first")
async def read(
    room: RoomName,
    reader: Caller,
    stored: Stored,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    before: Annotated[int, Query(ge=1, lt=2**63, description="The `before` of the last page.")] = 2**63 - 1,
) -> Page:
    return await stored.page(room, limit, before)


@router.post("/read", status_code=status.HTTP_204_NO_CONTENT, summary="Say how far one has read")
async def mark_read(room: RoomName, mark: ReadMark, reader: Caller, stored: Stored, live: Live, counts: Counts) -> None:
    if not await stored.has(room, mark.message_id):
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such message in this room.")
    if await stored.mark_read(room, reader, mark.message_id):
        counts.chat_read()
        await live.tell(room, "read", {"reader": reader, "message_id": mark.message_id})
