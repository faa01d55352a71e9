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
        record = current_record.get()
        waited = None if record is None else record.waited
        watchers = [one for one in library.pools if one.watches(self)] if library.pools else ()
        if waited is None and not watchers:
            return plain(self, *args, **kwargs)
        return _awaited(plain(self, *args, **kwargs), waited, cause, watchers)

    return call


def wrap_pool_sync(plain: Any, library: Library, cause: Cause, describe: Describe | None) -> Any:
    """Wrap a plain function that returns a connection."""

    @functools.wraps(plain)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        record = current_record.get()
        waited = None if record is None else record.waited
        watchers = [one for one in library.pools if one.watches(self)] if library.pools else ()
        if waited is None and not watchers:
            return plain(self, *args, **kwargs)
        attempt = _Attempt(waited, cause, watchers)
        try:
            result = plain(self, *args, **kwargs)
        except BaseException as error:
            attempt.end(error)
            raise
        attempt.end(None)
        return result

    return call


async def _awaited(
    call: Awaitable[Any], waited: WaitTimes | None, cause: Cause, watchers: Sequence[PoolWatcher]
) -> Any:
    attempt = _Attempt(waited, cause, watchers)
    try:
        result = await call
    except BaseException as error:
        attempt.end(error)
        raise
    attempt.end(None)
    return result


class _Attempt:
    __slots__ = ("_cause", "_since", "_waited", "_watchers")

    def __init__(self, waited: WaitTimes | None, cause: Cause, watchers: Sequence[PoolWatcher]) -> None:
        self._waited, self._cause, self._watchers = waited, cause, watchers
        if waited is not None:
            waited.begin(cause)
        for watcher in watchers:
            watcher.begin()
        self._since = perf_counter()

    def end(self, error: BaseException | None) -> None:
        seconds = perf_counter() - self._since
        if self._waited is not None:
            self._waited.end(self._cause)
        for watcher in self._watchers:
            watcher.end(seconds, error)


__all__ = ["wrap_pool_async", "wrap_pool_sync"]
