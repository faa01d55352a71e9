"""Awaits a coroutine in another context than that of its task."""

from __future__ import annotations

import types
from collections.abc import Coroutine, Generator
from contextvars import Context
from typing import Any


async def run_in(context: Context, coroutine: Coroutine[Any, Any, None]) -> None:
    """Await a coroutine in `context`, which no other code may be in, in the same task."""
    try:
        awaited = context.run(coroutine.send, None)
    except StopIteration:
        return
    await _rest_in(context, coroutine, awaited)


@types.coroutine
def _rest_in(context: Context, coroutine: Coroutine[Any, Any, None], awaited: object) -> Generator[Any, Any, None]:
    while True:
        resume: Any = coroutine.send
        argument: Any = None
        try:
            argument = yield awaited
        except BaseException as error:  # A cancellation, which the coroutine has to get.
            resume, argument = coroutine.throw, error
        # Its result may be large.
        awaited = None
        try:
            awaited = context.run(resume, argument)
        except StopIteration:
            return
        finally:
            # Otherwise a cycle: the traceback of the exception holds this frame, which holds the exception.
            argument = None


__all__ = ["run_in"]
