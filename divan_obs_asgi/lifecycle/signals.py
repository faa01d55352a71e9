"""A signal handler that runs before the existing one, set by a server or an event loop, or the default one."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeAlias

Handler: TypeAlias = Callable[[int, FrameType | None], object]

# Called before SIGTERM ends the process, with the number of seconds in which queues may be flushed.
at_termination: list[Callable[[float], object]] = []


class NotChained(Exception):
    """The signal cannot be handled here; the text says why."""


def call_previous(before: object, number: int, frame: FrameType | None) -> None:
    """Handle a signal as without this library. `before` is the earlier result of `signal.getsignal`."""
    if callable(before):
        before(number, frame)
    elif before is not signal.SIG_IGN:
        # The default handler, so that the parent process sees that the signal has ended this one.
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


class ChainedHandler:
    """
    Calls `handler` for a signal until `release`. `forward` calls the previous handler.

    Raises:
        NotChained: if Python does not allow it, or if the previous handler could not be called.
    """

    def __init__(self, number: int, handler: Handler) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise NotChained("only the main thread may handle signals")
        self._number = number
        self._handler = handler
        self._before = signal.getsignal(number)
        self._loop_handle: asyncio.Handle | None = None
        if self._before is None:
            raise NotChained("it has a handler that was not set by Python")
        if self._before is signal.SIG_IGN:
            raise NotChained("it is ignored")
        if _is_loop_handler(self._before):
            self._chain_in_loop()
        else:
            signal.signal(number, handler)

    @property
    def is_default(self) -> bool:
        """Whether the signal had no handler, so that the system ends the process."""
        # The library's own handler, which flushes the log, keeps the previous one in `before`.
        return getattr(self._before, "before", self._before) is signal.SIG_DFL

    def forward(self, frame: FrameType | None = None) -> None:
        """Call the previous handler."""
        if self._loop_handle is not None:
            self._loop_handle._run()
        else:
            call_previous(self._before, self._number, frame)

    def release(self) -> None:
        """Restore the previous handler, unless another one was set meanwhile."""
        if self._loop_handle is not None:
            loop = asyncio.get_running_loop()
            if not self._loop_handle.cancelled():
                loop.add_signal_handler(self._number, self._loop_handle._run)
        elif signal.getsignal(self._number) == self._handler:
            signal.signal(self._number, self._before)

    def _chain_in_loop(self) -> None:
        """
        Replace a handler that was set by `loop.add_signal_handler`, as hypercorn does.

        The loop receives a signal through its wake-up descriptor, whatever handler Python has. Its handlers are visible
        only in this private attribute, which asyncio has had since 3.4. uvloop does not have it.
        """
        loop = asyncio.get_running_loop()
        handlers: dict[int, Any] | None = getattr(loop, "_signal_handlers", None)
        loop_handle = handlers.get(self._number) if isinstance(handlers, dict) else None
        if not isinstance(loop_handle, asyncio.Handle):
            raise NotChained("its handler belongs to an event loop that does not expose it")
        handler = self._handler
        loop.add_signal_handler(self._number, handler, self._number, None)
        self._loop_handle = loop_handle


def _is_loop_handler(handler: object) -> bool:
    """Return whether asyncio or uvloop has set this handler, for a signal that they handle themselves."""
    return getattr(handler, "__name__", "") == "_sighandler_noop" or isinstance(
        getattr(handler, "__self__", None), asyncio.AbstractEventLoop
    )


__all__ = ["ChainedHandler", "Handler", "NotChained", "at_termination", "call_previous"]
