"""SIGTERM: what is queued is written before the process ends."""

from __future__ import annotations

import signal
import threading
from contextlib import suppress
from types import FrameType

from divan_obs_asgi.lifecycle.signals import at_termination, call_previous
from divan_obs_asgi.logs.sink import end_all

# Seconds; whoever sent the signal waits, and so does an event loop that is to end in order.
_FLUSH_S = 1.0


class FlushOnTermination:
    """
    A signal handler that has all lines written, and then leaves the signal to whoever had it before.

    Servers that set a handler of their own later replace this one, and keep theirs; their shutdown flushes.
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
    """Put the handler in front of the present one; in threads other than the main one, which may not, do nothing."""
    if threading.current_thread() is not threading.main_thread():
        return
    before = signal.getsignal(signal.SIGTERM)
    # None: set by other than Python, and not to be called. Who ignores the signal goes on living.
    if before is None or before is signal.SIG_IGN or isinstance(before, FlushOnTermination):
        return
    signal.signal(signal.SIGTERM, FlushOnTermination(before))


__all__ = ["FlushOnTermination", "flush_on_termination"]
