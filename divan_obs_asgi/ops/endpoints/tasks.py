"""GET /ops/tasks: what the event loop is waiting for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import islice
from types import FrameType
from typing import TYPE_CHECKING, Any

from anyio import get_current_task, get_running_tasks
from starlette.requests import Request
from starlette.responses import Response

from divan_obs_asgi.ops.endpoint import Content, Endpoint, Operation, Schema
from divan_obs_asgi.ops.guard import Guard
from divan_obs_asgi.ops.responses import json_answer

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability

# The event loop stands still while they are looked at: some 10 µs each.
MAX_TASKS = 2000
MAX_GROUPS = 200
_MAX_NAMES = 3
_MAX_FRAMES = 8
# Deeper than this is a loop.
_MAX_DEPTH = 200
# What a coroutine, a generator and an asynchronous generator call the same.
_KINDS = (("cr_frame", "cr_await"), ("gi_frame", "gi_yieldfrom"), ("ag_frame", "ag_await"))

_TASKS: Schema = {
    "type": "object",
    "properties": {
        "total": {"type": "integer", "minimum": 0},
        "looked_at": {"type": "integer", "minimum": 0},
        "groups": {
            "type": "array",
            "maxItems": MAX_GROUPS,
            "items": {
                "type": "object",
                "properties": {
                    "coroutine": {"type": "string"},
                    "count": {"type": "integer", "minimum": 1},
                    "names": {"type": "array", "items": {"type": "string"}, "maxItems": _MAX_NAMES},
                    "waits_at": {
                        "type": "array",
                        "description": "module:line function, the innermost last.",
                        "items": {"type": "string"},
                        "maxItems": _MAX_FRAMES,
                    },
                },
                "required": ["coroutine", "count", "names", "waits_at"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["total", "looked_at", "groups"],
    "additionalProperties": False,
}


class Tasks:
    """
    Tells the tasks of this process's event loop, those that wait at the same line as one.

    Modules, functions and lines are the code's; the names of tasks may be anything, and are redacted.
    """

    def __init__(self, obs: Observability, guard: Guard) -> None:
        self._obs = obs

    def endpoints(self) -> Iterator[Endpoint]:
        summary = "The tasks of the event loop, and the lines where they wait."
        yield Endpoint("/ops/tasks", (Operation("GET", summary, self.describe, {200: Content("The tasks.", _TASKS)}),))

    async def describe(self, request: Request) -> Response:
        total, tasks = _some_others()
        groups: dict[tuple[str, tuple[str, ...]], list[str]] = {}
        for name, coroutine in tasks:
            frames = frames_of(coroutine)
            places = tuple(_place(frame) for frame in frames[-_MAX_FRAMES:])
            groups.setdefault((_name_of(coroutine, frames), places), []).append(name)
        largest = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))[:MAX_GROUPS]
        told = [self._told(coroutine, places, alike) for (coroutine, places), alike in largest]
        return json_answer({"total": total, "looked_at": len(tasks), "groups": told})

    def _told(self, coroutine: str, places: tuple[str, ...], alike: list[str]) -> dict[str, object]:
        names = [self._obs.redaction.redact_text(name) for name in alike[:_MAX_NAMES]]
        return {"coroutine": coroutine, "count": len(alike), "names": names, "waits_at": list(places)}


def _some_others() -> tuple[int, list[tuple[str, object]]]:
    """Return how many tasks there are beside the one that asks, and names and coroutines of those to look at."""
    try:
        tasks = asyncio.all_tasks()
    except RuntimeError:  # trio
        asking = get_current_task()
        infos = [info for info in get_running_tasks() if info.id != asking.id]
        return len(infos), [(str(info.name), info.coro) for info in infos[:MAX_TASKS]]
    # Not by anyio, whose description of a task costs more than all else here: of a hundred thousand, half a second.
    asking_task = asyncio.current_task()
    assert asking_task is not None
    tasks.discard(asking_task)
    return len(tasks), [(task.get_name(), task.get_coro()) for task in islice(tasks, MAX_TASKS)]


def frames_of(awaitable: object) -> list[FrameType]:
    """Return the frames that a suspended task is in, the innermost last."""
    frames: list[FrameType] = []
    current: Any = awaitable
    for _ in range(_MAX_DEPTH):
        frame, inner = _step(current)
        if frame is None:
            break
        frames.append(frame)
        current = inner
    return frames


def _step(awaitable: Any) -> tuple[FrameType | None, Any]:
    for frame, inner in _KINDS:
        if hasattr(awaitable, frame):
            return getattr(awaitable, frame), getattr(awaitable, inner)
    return None, None


def _place(frame: FrameType) -> str:
    return f"{_module(frame)}:{frame.f_lineno} {frame.f_code.co_qualname}"


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "?"))


def _name_of(awaitable: object, frames: list[FrameType]) -> str:
    """Return what the task was started with; anyio puts a coroutine of its own around it."""
    for frame in frames:
        if not _module(frame).startswith("anyio."):
            return f"{_module(frame)}.{frame.f_code.co_qualname}"
    return str(getattr(awaitable, "__qualname__", type(awaitable).__qualname__))


__all__ = ["Tasks", "frames_of"]
