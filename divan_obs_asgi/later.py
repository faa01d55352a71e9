"""A call in a while, on whichever event loop runs: asyncio's or trio's."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextvars import Context
from typing import Any


def call_later(delay_s: float, call: Callable[[], object]) -> Callable[[], object] | None:
    """
    Have `call` called in `delay_s` seconds, in an empty context.

    Returns:
        what cancels it; None where no event loop runs, and nothing will be called.
    """
    try:
        # In a context of its own: a cancelled timer stays in the loop's heap, and would keep the caller's variables.
        return asyncio.get_running_loop().call_later(delay_s, call, context=Context()).cancel
    except RuntimeError:
        return _on_trio(delay_s, call)


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


__all__ = ["call_later"]
