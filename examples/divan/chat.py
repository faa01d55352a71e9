"""Chat: what two friends say to each other, and how far the other has got it and read it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Body, Depends, HTTPException, Path, status

from divan_obs_asgi.metrics import Domain
from examples.divan.auth import Caller
from examples.divan.messages import Mark, Message, Messages, Page, Stored
from examples.divan.parts import MAX_ID, Before, Counts, Database, Id, Limit, Name, Text
from examples.divan.people import are_friends, pair_of
from examples.divan.realtime import Live
from examples.divan.unavailable import STORE_ERRORS

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Talk:
    """Two friends, and the room of their messages: one that no room of others is named like."""

    name: str
    peer: str
    room: str


async def talk_with(peer: Annotated[Name, Path()], name: Caller, database: Database) -> Talk:
    """Return the talk of the caller with a friend."""
    if not await are_friends(database, name, peer):
        raise HTTPException(status.HTTP_403_FORBIDDEN, "You are not friends: POST /invites first.")
    return Talk(name, peer, "@" + ":".join(pair_of(name, peer).values()))


WithFriend = Annotated[Talk, Depends(talk_with)]

router = APIRouter(prefix="/chat/{peer}", tags=["chat"])


@router.post("/messages", status_code=status.HTTP_201_CREATED, summary="Say something to a friend")
async def send(talk: WithFriend, text: Text, stored: Stored, live: Live, counts: Counts) -> Message:
    message = await stored.add(talk.room, talk.name, text)
    counts.chat_sent()
    acknowledged = partial(delivered, stored, counts, talk.peer, message)
    await live.tell_person(talk.peer, "message", message.model_dump(), acknowledged)
    logger.info("message %d sent, %d characters", message.id, len(message.text))
    return message


async def delivered(stored: Messages, counts: Domain, reader: str, message: Message, *_: object) -> None:
    """Note that a client of the reader's has acknowledged a message, whatever it says with that."""
    try:
        moved = await stored.move(Mark.DELIVERED, message.room, reader, message.id)
    except STORE_ERRORS as error:
        # Nobody waits for an answer, and the next message moves the mark as far.
        logger.warning("a delivery was not noted: %s", type(error).__name__)
        return
    if moved:
        counts.chat_delivered()


@router.get("/messages", summary="Read what was said, the newest first")
async def read(talk: WithFriend, stored: Stored, limit: Limit = 50, before: Before = MAX_ID) -> Page:
    return await stored.page(talk.room, limit, before)


@router.post("/read", status_code=status.HTTP_204_NO_CONTENT, summary="Say how far one has read")
async def mark_read(
    talk: WithFriend, message_id: Annotated[Id, Body(embed=True)], stored: Stored, live: Live, counts: Counts
) -> None:
    if not await stored.has(talk.room, message_id):
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such message between you.")
    if await stored.move(Mark.READ, talk.room, talk.name, message_id):
        counts.chat_read()
        await live.tell_person(talk.peer, "read", {"reader": talk.name, "message_id": message_id})
