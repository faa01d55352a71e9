"""
Children of `multiprocessing`, by any start method and in any pool: their last lines, and the exception that ends them.

Such a child leaves by `os._exit`. Before that it runs the finalizers of `multiprocessing.util`, and up to Python 3.12
nothing that was registered with `atexit`.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from divan_obs_asgi.lifecycle.signals import at_termination
from divan_obs_asgi.logs.sink import end_all, is_made_by_multiprocessing
from divan_obs_asgi.logs.uncaught import expect_failed_child

# Seconds that spans get; lines get as long as at any other end of a process.
_SPANS_S = 1.0
# After the application's own finalizers, which may log: those with a higher priority run first.
_LAST = -1000


def _end() -> None:
    end_all()
    for send in at_termination:
        with suppress(Exception):
            send(_SPANS_S)


def end_in_order() -> None:
    """Where `multiprocessing` has made this process: have what is queued written before it leaves."""
    if is_made_by_multiprocessing():
        _before_leaving()
        # A forkserver's child forgets the finalizers after it has loaded its main module.
        _in_forked_child()


def _before_leaving(_: object = None) -> None:
    from multiprocessing.util import Finalize

    Finalize(None, _end, exitpriority=_LAST)
    expect_failed_child()


def _in_forked_child() -> None:
    """
    Have that done by `multiprocessing`, as soon as it has forgotten the parent's finalizers.

    Nothing is imported here: a process that has not loaded `multiprocessing` is not its child.
    """
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        # The object is only a key; it is kept weakly.
        util.register_after_fork(_before_leaving, _before_leaving)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_forked_child)

__all__ = ["end_in_order"]
