"""GET /ops/tasks: the tasks of the event loop, and where each is waiting."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from types import FrameType
from typing import TYPE_CHECKING, Any

from anyio import get_current_task, get_running_tasks
from starlette.requests import Request
from starlette.responses import Response

from divan_obs_asgi.connection.measured import awaited_by
from divan_obs_asgi.observability.ops_endpoints import Endpoint, Operation, ResponseDescription, Schema
from divan_obs_asgi.ops.guard import Guard
from divan_obs_asgi.ops.responses import json_response

if TYPE_CHECKING:
    from divan_obs_asgi.observability import Observability

# Each takes about 10 µs, and the event loop is blocked meanwhile.
MAX_TASKS = 2000
MAX_GROUPS = 200
_MAX_NAMES = 3
_MAX_FRAMES = 8
# A deeper chain is a cycle.
_MAX_DEPTH = 200
# The same two attributes of a coroutine, a generator and an asynchronous generator.
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
                        "description": "module:line function, innermost last.",
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


class TasksEndpoint:
    """
    Lists the tasks of this process's event loop; tasks that wait at the same line are one group.

    The names of tasks are redacted, because an application may put anything there.
    """

    def __init__(self, obs: Observability, guard: Guard) -> None:
        self._obs = obs

    def endpoints(self) -> Iterator[Endpoint]:
        summary = "The tasks of the event loop, and where each is waiting."
        yield Endpoint(
            "/ops/tasks", (Operation("GET", summary, self.describe, {200: ResponseDescription("The tasks.", _TASKS)}),)
        )

    async def describe(self, request: Request) -> Response:
        total, tasks = _other_tasks(MAX_TASKS)
        groups: dict[tuple[str, tuple[str, ...]], list[str]] = {}
        for name, coroutine in tasks:
            frames = frames_of(coroutine)
            places = tuple(_place(frame) for frame in frames[-_MAX_FRAMES:])
            groups.setdefault((_name_of(coroutine, frames), places), []).append(name)
        largest = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))[:MAX_GROUPS]
        described = [self._describe(coroutine, places, names) for (coroutine, places), names in largest]
        return json_response({"total": total, "looked_at": len(tasks), "groups": described})

    def _describe(self, coroutine: str, places: tuple[str, ...], names: list[str]) -> dict[str, object]:
        shown = [self._obs.redaction.redact_text(name) for name in names[:_MAX_NAMES]]
        return {"coroutine": coroutine, "count": len(names), "names": shown, "waits_at": list(places)}


def waiting_places(most: int) -> list[tuple[str, int]]:
    """Return the lines where tasks wait, each with the number of tasks, the most first; looks at `most` tasks."""
    _, tasks = _other_tasks(most)
    places = Counter(_place(frames[-1]) for frames in (frames_of(coroutine) for _, coroutine in tasks) if frames)
    return places.most_common()


def _other_tasks(most: int) -> tuple[int, list[tuple[str, object]]]:
    """Return the number of tasks without the current one, and the names and coroutines of up to `most` of them."""
    try:
        tasks = asyncio.all_tasks()
    except RuntimeError:  # trio
        current = get_current_task()
        infos = [info for info in get_running_tasks() if info.id != current.id]
        return len(infos), [(str(info.name), info.coro) for info in infos[:most]]
    # Not by anyio: its description of a hundred thousand tasks takes half a second, more than everything else here.
    current_task = asyncio.current_task()
    assert current_task is not None
    tasks.discard(current_task)
    return len(tasks), [(task.get_name(), task.get_coro()) for task in islice(tasks, most)]


def frames_of(awaitable: object) -> list[FrameType]:
    """Return the frames of a suspended task, innermost last."""
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
            return getattr(awaitable, frame), getattr(awaitable, inner) or awaited_by(awaitable)
    return None, None


def _place(frame: FrameType) -> str:
    return f"{_module(frame)}:{frame.f_lineno} {frame.f_code.co_qualname}"


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "?"))


def _name_of(awaitable: object, frames: list[FrameType]) -> str:
    """Return the name of the coroutine that the task was started with, inside the one that anyio adds."""
    for frame in frames:
        if not _module(frame).startswith("anyio."):
            return f"{_module(frame)}.{frame.f_code.co_qualname}"
    return str(getattr(awaitable, "__qualname__", type(awaitable).__qualname__))


__all__ = ["TasksEndpoint", "frames_of", "waiting_places"]
