"""Temporary changes of log levels at run time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import anyio

from divan_obs_asgi.logs.root_level import RootLevel

ROOT = "root"
# Maximum loggers with a changed level: enough for an operator.
MAX_CHANGES = 100
# Maximum loggers in the list. An application that creates a logger for each user has more.
_MAX_LISTED = 1000


class TooManyChanges(Exception):
    """`MAX_CHANGES` loggers already have a changed level."""


@dataclass(frozen=True, slots=True)
class LevelChange:
    """The level to which a logger is reset, and when; `until` is a time of the monotonic clock."""

    before: int
    until: float


class RuntimeLevels:
    """
    Sets the levels of loggers, and resets them when their time is over.

    Each line, each read of the levels, and a task once a second call `expire`.
    """

    def __init__(self, root: RootLevel, clock: Callable[[], float] = time.monotonic) -> None:
        self._root = root
        self._clock = clock
        self._lock = threading.Lock()
        self.changes: dict[str, LevelChange] = {}

    def set(self, name: str, level: int, ttl_s: float) -> int:
        """
        Set a logger's level for `ttl_s` seconds. After a second change, the level before the first one is restored.

        Returns:
            the logger's own level until now, 0 for none.

        Raises:
            TooManyChanges: if other levels have to be reset first.
        """
        self.expire()
        with self._lock:
            known = self.changes.get(name)
            if known is None and len(self.changes) >= MAX_CHANGES:
                raise TooManyChanges
            present = self._get(name)
            before = present if known is None else known.before
            self.changes[name] = LevelChange(before, self._clock() + ttl_s)
            self._put(name, level)
            return present

    def reset(self, name: str) -> None:
        """Reset a logger's level now."""
        with self._lock:
            change = self.changes.pop(name, None)
            if change is not None:
                self._put(name, change.before)

    def expire(self) -> None:
        """Reset the levels whose time is over."""
        if not self.changes:
            return
        now = self._clock()
        for name, change in list(self.changes.items()):
            if now >= change.until:
                self.reset(name)

    async def run_expiry(self) -> None:
        """Reset levels in time even if nothing is logged; runs until cancelled."""
        while True:
            await anyio.sleep(1.0)
            self.expire()

    def describe(self) -> dict[str, dict[str, object]]:
        """Return the loggers by name: first the root logger, then those with a changed level."""
        self.expire()
        listed = [name for name, logger in _existing() if isinstance(logger, logging.Logger)]
        names = dict.fromkeys([ROOT, *sorted(self.changes), *sorted(listed)[:_MAX_LISTED]])
        return {name: self.describe_one(name) for name in names}

    def describe_one(self, name: str) -> dict[str, object]:
        """Return a logger's own level or None, its effective level, and the seconds until the reset."""
        own, change = self._get(name), self.changes.get(name)
        return {
            "level": _name(own) if own else None,
            "effective": _name(self._effective(name)),
            "reverts_in_s": None if change is None else round(change.until - self._clock(), 1),
        }

    def _effective(self, name: str) -> int:
        logger: logging.Logger | None = logging.getLogger(name) if name != ROOT else None
        while logger is not None and logger is not logging.root:
            if logger.level:
                return logger.level
            logger = logger.parent
        return self._root.level

    def _get(self, name: str) -> int:
        return self._root.level if name == ROOT else logging.getLogger(name).level

    def _put(self, name: str, level: int) -> None:
        if name == ROOT:
            self._root.set(level)
        else:
            logging.getLogger(name).setLevel(level)


def _existing() -> list[tuple[str, object]]:
    return list(logging.root.manager.loggerDict.items())


def _name(level: int) -> str:
    return str(logging.getLevelName(level))


__all__ = ["MAX_CHANGES", "ROOT", "LevelChange", "RuntimeLevels", "TooManyChanges"]
