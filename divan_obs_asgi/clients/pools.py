"""Calls that get a connection from a pool: how long a request, and whoever watches the pool, waits for one."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Sequence
from time import perf_counter
from typing import Any

from divan_obs_asgi.clients.calls import Describe, Library, PoolWatcher
from divan_obs_asgi.connection.record import current_record
from divan_obs_asgi.connection.wait_times import Cause, WaitTimes


def wrap_pool_async(plain: Any, library: Library, cause: Cause, describe: Describe | None) -> Any:
    """Wrap a coroutine function that returns a connection."""

    @functools.wraps(plain)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        attempt = _attempt(library, self, cause)
        result = plain(self, *args, **kwargs)
        return result if attempt is None else _awaited(result, attempt)

    return call


def wrap_pool_sync(plain: Any, library: Library, cause: Cause, describe: Describe | None) -> Any:
    """Wrap a plain function that returns a connection."""

    @functools.wraps(plain)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        attempt = _attempt(library, self, cause)
        if attempt is None:
            return plain(self, *args, **kwargs)
        with attempt:
            return plain(self, *args, **kwargs)

    return call


async def _awaited(call: Awaitable[Any], attempt: _Attempt) -> Any:
    with attempt:
        return await call


def _attempt(library: Library, pool: Any, cause: Cause) -> _Attempt | None:
    """Return the attempt that is about to begin; None if nobody observes it."""
    record = current_record.get()
    waited = None if record is None or record.outcome is not None else record.waited
    watchers = [one for one in library.pools if one.watches(pool)] if library.pools else ()
    return None if waited is None and not watchers else _Attempt(waited, cause, watchers)


class _Attempt:
    __slots__ = ("_cause", "_since", "_waited", "_watchers")

    def __init__(self, waited: WaitTimes | None, cause: Cause, watchers: Sequence[PoolWatcher]) -> None:
        self._waited, self._cause, self._watchers = waited, cause, watchers
        self._since = 0.0

    def __enter__(self) -> None:
        if self._waited is not None:
            self._waited.begin(self._cause)
        for watcher in self._watchers:
            watcher.begin()
        self._since = perf_counter()

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        seconds = perf_counter() - self._since
        if self._waited is not None:
            self._waited.end(self._cause)
        for watcher in self._watchers:
            watcher.end(seconds, error)


__all__ = ["wrap_pool_async", "wrap_pool_sync"]
