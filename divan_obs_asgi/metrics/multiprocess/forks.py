"""Keeps ledgers consistent when their process forks: holds their locks meanwhile; the child releases the files."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol


class Forkable(Protocol):
    """
    An object that must be consistent in a forked child.

    Attributes:
        lock: held during the fork. It is reentrant, since the forking thread may hold it already.
    """

    lock: threading.RLock

    def forked(self) -> None:
        """Release the resources of the parent; called in the child."""


_registered: weakref.WeakSet[Forkable] = weakref.WeakSet()
# One thread forks at a time. It may fork again meanwhile, in a signal handler.
_forking = threading.RLock()
_held: list[list[Forkable]] = []


def register(forkable: Forkable) -> None:
    """Protect an object during forks, for as long as it exists."""
    _registered.add(forkable)


def before_fork() -> None:
    _forking.acquire()
    _held.append(list(_registered))
    for forkable in _held[-1]:
        forkable.lock.acquire()


def after_fork_in_parent() -> None:
    for forkable in _held.pop():
        forkable.lock.release()
    _forking.release()


def after_fork_in_child() -> None:
    for forkable in _held.pop():
        forkable.forked()
        forkable.lock.release()
    _forking.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=before_fork, after_in_parent=after_fork_in_parent, after_in_child=after_fork_in_child)

__all__ = ["Forkable", "after_fork_in_child", "after_fork_in_parent", "before_fork", "register"]
