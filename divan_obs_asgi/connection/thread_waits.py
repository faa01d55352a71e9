"""Measures how long a request waits for a thread, and how much processor time it uses there."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import wraps
from time import thread_time
from typing import Any

import anyio.to_thread

from divan_obs_asgi.connection.record import current_record
from divan_obs_asgi.connection.wait_times import WaitTimes


class _Call:
    """A function that waits for its thread, on behalf of a request."""

    __slots__ = ("_function", "_has_thread", "_waited")

    def __init__(self, function: Callable[..., Any], waited: WaitTimes) -> None:
        self._function = function
        self._waited = waited
        self._has_thread = False
        waited.begin("thread")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self._has_thread = True
        call, began_s = self._waited.enter_thread(), thread_time()
        try:
            return self._function(*args, **kwargs)
        finally:
            self._waited.leave_thread(call, thread_time() - began_s)

    def given_up(self, future: object = None) -> None:
        """End the wait, if it has not ended: the call was cancelled before it got a thread."""
        if not self._has_thread:
            self._has_thread = True
            self._waited.end("thread")


def _waited_here() -> WaitTimes | None:
    record = current_record.get()
    return record.waited if record is not None and record.outcome is None else None


_run_sync: Any = anyio.to_thread.run_sync
_submit: Any = ThreadPoolExecutor.submit


@wraps(_run_sync)
async def run_sync(func: Callable[..., Any], *args: Any, **options: Any) -> Any:
    waited = _waited_here()
    if waited is None:
        return await _run_sync(func, *args, **options)
    call = _Call(func, waited)
    try:
        return await _run_sync(call, *args, **options)
    finally:
        call.given_up()


@wraps(_submit)
def submit(self: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
    waited = _waited_here()
    if waited is None:
        unmeasured: Future[Any] = _submit(self, fn, *args, **kwargs)
        return unmeasured
    call = _Call(fn, waited)
    try:
        future: Future[Any] = _submit(self, call, *args, **kwargs)
    except BaseException:
        call.given_up()
        raise
    future.add_done_callback(call.given_up)
    return future


def measure_threads() -> None:
    """
    Measure the threads of anyio (plain endpoints) and of executors (`asyncio.to_thread`) from now on.

    Both are shared by the whole process, and offer no other place to see when a function has got its thread.
    """
    for owner, name, original, measured in (
        (anyio.to_thread, "run_sync", _run_sync, run_sync),
        (ThreadPoolExecutor, "submit", _submit, submit),
    ):
        if getattr(owner, name) is original:
            setattr(owner, name, measured)


__all__ = ["measure_threads"]
