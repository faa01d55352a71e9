"""A signal handler in front of the one that is there, whoever has set that: a server, an event loop, nobody."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeAlias

Handler: TypeAlias = Callable[[int, FrameType | None], object]


# Called with seconds when SIGTERM is about to end the process: what is queued may be sent before.
at_termination: list[Callable[[float], object]] = []


class NotChained(Exception):
    """The signal is left to whoever has it; the text says why."""


def hand_over(before: object, number: int, frame: FrameType | None) -> None:
    """Do with a signal what would have been done without us: `before` is what `signal.getsignal` has returned."""
    if callable(before):
        before(number, frame)
    elif before is not signal.SIG_IGN:
        # As if there were no handler: the parent sees that the signal has ended the process.
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


class ChainedHandler:
    """
    Has `handler` called for a signal, until it is released; `pass_on` calls what was there before.

    Raises:
        NotChained: where Python does not let us, or nobody could be called afterwards.
    """

    def __init__(self, number: int, handler: Handler) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise NotChained("only the main thread may handle signals")
        self._number = number
        self._handler = handler
        self._before = signal.getsignal(number)
        self._of_loop: asyncio.Handle | None = None
        if self._before is None:
            raise NotChained("it has a handler that was not set by Python")
        if self._before is signal.SIG_IGN:
            raise NotChained("it is ignored")
        if _is_of_a_loop(self._before):
            self._chain_in_loop()
        else:
            signal.signal(number, handler)

    @property
    def is_of_nobody(self) -> bool:
        """Whether the signal had no handler: the system ends the process."""
        # The library's own, which flushes the log, stands in front of the one that counts.
        return getattr(self._before, "before", self._before) is signal.SIG_DFL

    def pass_on(self, frame: FrameType | None = None) -> None:
        """Have the signal do what it would have done."""
        if self._of_loop is not None:
            self._of_loop._run()
        else:
            hand_over(self._before, self._number, frame)

    def release(self) -> None:
        """Put back what was there, unless somebody has set something else meanwhile."""
        if self._of_loop is not None:
            loop = asyncio.get_running_loop()
            if not self._of_loop.cancelled():
                loop.add_signal_handler(self._number, self._of_loop._run)
        elif signal.getsignal(self._number) == self._handler:
            signal.signal(self._number, self._before)

    def _chain_in_loop(self) -> None:
        """
        Take the place of a handler that was set by `loop.add_signal_handler`, as hypercorn does.

        The loop hears of a signal through its wake-up descriptor, whatever handler Python has. It does not tell which
        handlers it has, except in this attribute, which is asyncio's since 3.4 and which uvloop has not.
        """
        loop = asyncio.get_running_loop()
        handlers: dict[int, Any] | None = getattr(loop, "_signal_handlers", None)
        of_loop = handlers.get(self._number) if isinstance(handlers, dict) else None
        if not isinstance(of_loop, asyncio.Handle):
            raise NotChained("its handler belongs to an event loop that does not tell it")
        handler = self._handler
        loop.add_signal_handler(self._number, handler, self._number, None)
        self._of_loop = of_loop


def _is_of_a_loop(handler: object) -> bool:
    """Tell whether this is what asyncio and uvloop set in Python for a signal that they handle themselves."""
    return getattr(handler, "__name__", "") == "_sighandler_noop" or isinstance(
        getattr(handler, "__self__", None), asyncio.AbstractEventLoop
    )


__all__ = ["ChainedHandler", "Handler", "NotChained", "at_termination", "hand_over"]
