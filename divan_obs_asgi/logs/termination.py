"""Writes the queue at SIGTERM, before the process ends."""

from __future__ import annotations

import signal
import threading
from contextlib import suppress
from types import FrameType

from divan_obs_asgi.lifecycle.signals import at_termination, call_previous
from divan_obs_asgi.logs.sink import end_all

# Seconds. The sender of the signal waits for this, and so does an event loop that shuts down.
_FLUSH_S = 1.0


class FlushOnTermination:
    """
    A signal handler that writes all lines and then calls the previous handler.

    A server that sets its own handler later replaces this one. Its shutdown writes the queue.
    """

    def __init__(self, before: object) -> None:
        self.before = before

    def __call__(self, number: int, frame: FrameType | None) -> None:
        end_all(_FLUSH_S)
        for send in at_termination:
            with suppress(Exception):
                send(_FLUSH_S)
        call_previous(self.before, number, frame)


def flush_on_termination() -> None:
    """Put the handler before the current one. Only the main thread may do this; in other threads, do nothing."""
    if threading.current_thread() is not threading.main_thread():
        return
    before = signal.getsignal(signal.SIGTERM)
    # None: the handler was not set from Python and cannot be called. A process that ignores the signal keeps running.
    if before is None or before is signal.SIG_IGN or isinstance(before, FlushOnTermination):
        return
    signal.signal(signal.SIGTERM, FlushOnTermination(before))


__all__ = ["FlushOnTermination", "flush_on_termination"]
