"""
Patches client libraries once in a process, for spans, for wait times and for the metrics of pools.

A patch belongs to the process, as its library does. It is applied while somebody uses it, whoever came first.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from divan_obs_asgi.clients import aiosqlite, asyncpg, http, psycopg, redis, sqlalchemy
from divan_obs_asgi.clients.calls import CallSpans, Method, PoolWatcher, library

_METHODS: Mapping[str, Sequence[Method]] = {
    "httpx": http.HTTPX,
    "requests": http.REQUESTS,
    "sqlalchemy": sqlalchemy.METHODS,
    "asyncpg": asyncpg.METHODS,
    "psycopg": psycopg.METHODS,
    "aiosqlite": aiosqlite.METHODS,
    "redis": redis.METHODS,
}
LIBRARIES = tuple(_METHODS)


class PatchedLibrary:
    """The methods of one library, patched while its calls are traced or timed, or its pools watched."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._library = library(name)
        self._timers = 0
        self._placed: dict[tuple[Any, str], tuple[Any, Any]] = {}

    @property
    def is_traced(self) -> bool:
        return self._library.spans is not None

    def trace(self, spans: CallSpans) -> bool:
        """Give calls spans from now on; return False if another caller does so already, or nothing can be patched."""
        if self.is_traced:
            return False
        self._library.spans = spans
        self._apply()
        # Of a version without these methods.
        if not any(method.describe is not None for _, method in self._methods()):
            self.end_tracing()
            return False
        return True

    def end_tracing(self) -> None:
        """Give calls no spans any more."""
        self._library.spans = None
        self._apply()

    def time(self) -> None:
        """Time the waits of requests from now on."""
        self._timers += 1
        self._apply()

    def end_timing(self) -> None:
        """Undo one call of `time`."""
        self._timers -= 1
        self._apply()

    def watch(self, watcher: PoolWatcher) -> None:
        """Call `watcher` for each attempt to get a connection from its pool, from now on."""
        self._library.pools = (*self._library.pools, watcher)
        self._apply()

    def end_watching(self, watcher: PoolWatcher) -> None:
        """Undo one call of `watch`."""
        self._library.pools = tuple(one for one in self._library.pools if one is not watcher)
        self._apply()

    def _apply(self) -> None:
        wanted = {(owner, method.name): method for owner, method in self._methods()}
        for place in [*self._placed]:
            if place not in wanted:
                self._restore(*place)
        for (owner, name), method in wanted.items():
            if (owner, name) not in self._placed:
                before = vars(owner)[name]
                after = method.wrap(before, self._library, method.cause, method.describe)
                self._placed[owner, name] = before, after
                setattr(owner, name, after)

    def _restore(self, owner: Any, name: str) -> None:
        before, after = self._placed.pop((owner, name))
        # Other code may have wrapped the method since; its wrapper stays, and calls ours, which does nothing.
        if vars(owner).get(name) is after:
            setattr(owner, name, before)

    def _needs(self, method: Method) -> bool:
        if self._timers or (self.is_traced and method.describe is not None):
            return True
        return method.cause == "pool" and bool(self._library.pools)

    def _methods(self) -> Iterator[tuple[Any, Method]]:
        for method in filter(self._needs, _METHODS[self.name]):
            module, _, owner_name = method.owner.rpartition(".")
            try:
                owner = getattr(import_module(module), owner_name)
            except (ImportError, AttributeError):  # another version, or without an extra of its own
                continue
            if method.name in vars(owner):
                yield owner, method


@cache
def patched(name: str) -> PatchedLibrary:
    """Return the library of this process."""
    return PatchedLibrary(name)


class WaitTiming:
    """Times the waits of requests for client libraries: `Record.waited`, where a record has it."""

    def __init__(self, names: Sequence[str] = LIBRARIES) -> None:
        self._names = names
        self._timed: list[PatchedLibrary] = []

    def start(self) -> tuple[str, ...]:
        """Patch each loaded library that is not patched here yet; return the names of all that are."""
        for known in map(patched, self._names):
            if known.name in sys.modules and known not in self._timed:
                known.time()
                self._timed.append(known)
        return tuple(known.name for known in self._timed)

    def stop(self) -> None:
        """Restore what `start` has patched, except what tracing uses."""
        while self._timed:
            self._timed.pop().end_timing()


def is_installed(module: str) -> bool:
    """Return whether a module can be imported."""
    try:
        return find_spec(module) is not None
    except (ModuleNotFoundError, ValueError):
        return False


__all__ = ["LIBRARIES", "PatchedLibrary", "WaitTiming", "is_installed", "patched"]
