"""Messages: what was said in rooms and between friends, and how far each has got it and read it."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel

from examples.divan.parts import part
from examples.divan.storage import Sql


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


class Mark(StrEnum):
    """How far somebody has got: the table that holds it."""

    DELIVERED = "delivery_marks"
    READ = "read_marks"


class Messages:
    """All messages and marks, in SQL."""

    def __init__(self, database: Sql, *, clock: Callable[[], float] = time.time) -> None:
        self._database, self._clock = database, clock
        self.changes = database.changes

    async def add(self, room: str, sender: str, text: str) -> Message:
        """Store a message and return it with its id."""
        new = {"room": room, "sender": sender, "text": text, "sent_at_ms": int(self._clock() * 1000)}
        row = "INSERT INTO messages (room, sender, text, sent_at_ms) VALUES (:room, :sender, :text, :sent_at_ms)"
        number = await self._database.value(f"{row} RETURNING id", **new)
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

    async def has(self, room: str, number: int) -> bool:
        """Tell whether there is such a message in the room."""
        query = "SELECT 1 FROM messages WHERE id = :number AND room = :room"
        return await self._database.has(query, number=number, room=room)

    async def move(self, mark: Mark, room: str, reader: str, number: int) -> bool:
        """Move the reader's mark up to a message; False where it stood there or further already."""
        row = (
            f"INSERT INTO {mark} (room, reader, message_id) VALUES (:room, :reader, :number)"
            " ON CONFLICT (room, reader) DO UPDATE SET message_id = excluded.message_id"
            f" WHERE {mark}.message_id < excluded.message_id RETURNING message_id"
        )
        return await self._database.has(row, room=room, reader=reader, number=number)


Stored = Annotated[Messages, part("messages")]
