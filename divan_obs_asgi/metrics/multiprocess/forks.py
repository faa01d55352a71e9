"""Keeps ledgers whole while their process forks: nobody is in the middle of a count, and the child lets go of them."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol


class Forkable(Protocol):
    """
    What is to be whole in a forked child.

    Attributes:
        lock: held during the fork; the thread that forks may hold it already.
    """

    lock: threading.RLock

    def forked(self) -> None:
        """Let go of what is the parent's; called in the child."""


_watched: weakref.WeakSet[Forkable] = weakref.WeakSet()
# One thread forks at a time; it may fork within a fork (a signal handler).
_forking = threading.RLock()
_held: list[list[Forkable]] = []


def watch(forkable: Forkable) -> None:
    """Look after it, as long as it is there."""
    _watched.add(forkable)


def before_fork() -> None:
    _forking.acquire()
    _held.append(list(_watched))
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

__all__ = ["Forkable", "after_fork_in_child", "after_fork_in_parent", "before_fork", "watch"]
