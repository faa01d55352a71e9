"""Timers and tasks on the running event loop, asyncio or trio, each in an empty context."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any


def call_later(delay_s: float, call: Callable[[], object]) -> Callable[[], object] | None:
    """
    Call `call` in `delay_s` seconds, in an empty context.

    Returns:
        a function that cancels it; None where no event loop runs, so that it will not be called.
    """
    try:
        # In a context of its own: a cancelled timer stays in the loop's heap, and would keep the caller's variables.
        return asyncio.get_running_loop().call_later(delay_s, call, context=Context()).cancel
    except RuntimeError:
        return _on_trio(delay_s, call)


def start_task(run: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], object]:
    """
    Run a coroutine function in a task with an empty context; it must not raise, except for its cancellation.

    Returns:
        a function that cancels it. Keep it until the task has ended: asyncio keeps no task alive.

    Raises:
        RuntimeError: where no event loop runs.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        trio: Any = sys.modules.get("trio")
        if trio is None:
            raise
        scope = trio.CancelScope()
        trio.lowlevel.spawn_system_task(_run_in, scope, run, context=Context())
        cancel: Callable[[], object] = scope.cancel
        return cancel
    # A task copies the context that it is made in.
    return Context().run(loop.create_task, run()).cancel


def trio_token() -> object:
    """Return the token of the current run of trio; None outside of trio."""
    trio: Any = sys.modules.get("trio")
    try:
        return None if trio is None else trio.lowlevel.current_trio_token()
    except RuntimeError:
        return None


async def _run_in(scope: Any, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with scope:
        await run()


def _on_trio(delay_s: float, call: Callable[[], object]) -> Callable[[], object] | None:
    trio: Any = sys.modules.get("trio")
    try:
        if trio is None:
            return None
        pending = [call]
        trio.lowlevel.spawn_system_task(_call, trio.sleep, delay_s, pending, context=Context())
    except RuntimeError:
        return None
    return pending.clear


async def _call(sleep: Callable[[float], Any], delay_s: float, pending: list[Callable[[], object]]) -> None:
    await sleep(delay_s)
    for call in pending:
        call()


__all__ = ["call_later", "start_task", "trio_token"]
