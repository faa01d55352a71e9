"""GET /ops/tasks, beside tasks that wait."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import orjson
import pytest

import divan_obs_asgi as obs
from divan_obs_asgi.ops.endpoints import tasks
from divan_obs_asgi.testing import converse, http_scope
from tests.ops.asking import application, bearer, operated
from tests.stacks import BACKENDS, run_on


async def innermost(event: anyio.Event) -> None:
    await event.wait()  # here it waits


HERE = innermost.__code__.co_firstlineno + 1


async def numbers(event: anyio.Event) -> AsyncIterator[int]:
    yield 1
    await innermost(event)
    yield 2


async def waits(event: anyio.Event) -> None:
    await innermost(event)


async def waits_in_a_generator(event: anyio.Event) -> None:
    async for _ in numbers(event):
        pass


async def deeply(event: anyio.Event, depth: int) -> None:
    if depth:
        await deeply(event, depth - 1)
    else:
        await innermost(event)


def beside(backend: str, *started: tuple[Any, ...]) -> Any:
    """Return what is told while these wait: each a name, a coroutine function and its further arguments."""

    async def main() -> Any:
        event = anyio.Event()
        stack = obs.build_stack(application, operated().obs)
        async with anyio.create_task_group() as group:
            for name, function, *arguments in started:
                group.start_soon(function, event, *arguments, name=name)
            await anyio.wait_all_tasks_blocked()
            done = await converse(stack, http_scope("/ops/tasks", headers=[bearer()]))
            event.set()
        assert done.status == 200, done.error
        return orjson.loads(done.body)

    return run_on(backend, main)


def group_of(answer: Any, coroutine: str) -> Any:
    (found,) = [group for group in answer["groups"] if group["coroutine"] == f"{__name__}.{coroutine}"]
    return found


@pytest.mark.parametrize("backend", BACKENDS)
def test_tasks_are_told_with_the_line_where_they_wait(backend: str) -> None:
    """Through every coroutine on the way, those that wait at the same line together."""
    answer = beside(backend, *[(f"reader {number}", waits) for number in range(5)])
    group = group_of(answer, "waits")
    assert (group["count"], len(group["names"])) == (5, 3)
    assert all(name.startswith("reader ") for name in group["names"])
    assert f"{__name__}:{HERE} innermost" in group["waits_at"]
    assert answer["total"] >= 5


def test_the_task_that_asks_is_not_told() -> None:
    """It waits for nothing."""
    assert "describe" not in str(beside("asyncio"))


def test_a_generator_is_told_as_far_as_python_shows_it() -> None:
    """What an asynchronous generator waits for cannot be seen from outside; who waits for it can."""
    group = group_of(beside("asyncio", ("", waits_in_a_generator)), "waits_in_a_generator")
    assert any("waits_in_a_generator" in frame for frame in group["waits_at"])


def test_a_deep_wait_is_told_by_its_end() -> None:
    """The innermost frames are the ones that are looked for."""
    group = group_of(beside("asyncio", ("", deeply, 50)), "deeply")
    assert len(group["waits_at"]) == 8
    assert f"{__name__}:{HERE} innermost" in group["waits_at"]


def test_what_a_task_is_called_is_redacted() -> None:
    """A name may be made of anything."""
    group = group_of(beside("asyncio", ("mail to ada@example.org", waits)), "waits")
    assert group["names"] == ["mail to [redacted:email]"]


def test_a_crowd_is_counted_and_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop stands still meanwhile; the answer says how many were looked at."""
    monkeypatch.setattr(tasks, "MAX_TASKS", 10)
    monkeypatch.setattr(tasks, "MAX_GROUPS", 1)
    answer = beside("asyncio", *[("", waits) for _ in range(50)])
    assert (answer["looked_at"], len(answer["groups"])) == (10, 1)
    assert answer["total"] >= 50
