"""
Children of `multiprocessing`, with any start method and in any pool: their last lines, and the exception that ends
them.

Such a child exits by `os._exit`. Before that it runs the finalizers of `multiprocessing.util`. Up to Python 3.12 it
does not run functions that were registered with `atexit`.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from divan_obs_asgi.lifecycle.signals import at_termination
from divan_obs_asgi.logs.sink import end_all, is_made_by_multiprocessing
from divan_obs_asgi.logs.uncaught import log_exception_of_child

# Time for spans. Lines get the same time as at any other end of a process.
_SPANS_S = 1.0
# A finalizer with a higher priority runs earlier. This one runs after the application's own, because they may log.
_LAST = -1000


def _end() -> None:
    end_all()
    for send in at_termination:
        with suppress(Exception):
            send(_SPANS_S)


def write_queue_at_child_exit() -> None:
    """If `multiprocessing` created this process, write the queue before it exits."""
    if is_made_by_multiprocessing():
        _before_leaving()
        # A child of a forkserver discards the finalizers after it has loaded its main module.
        _in_forked_child()


def _before_leaving(_: object = None) -> None:
    from multiprocessing.util import Finalize

    Finalize(None, _end, exitpriority=_LAST)
    log_exception_of_child()


def _in_forked_child() -> None:
    """
    Register the finalizer after `multiprocessing` has discarded the parent's finalizers.

    This imports nothing: a process that has not loaded `multiprocessing` is not its child.
    """
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        # The first argument is only a key, of which `multiprocessing` keeps a weak reference.
        util.register_after_fork(_before_leaving, _before_leaving)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_forked_child)

__all__ = ["write_queue_at_child_exit"]
