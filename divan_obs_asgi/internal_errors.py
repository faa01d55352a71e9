"""Failures inside this library: counted each time, logged once a minute, never raised to the application."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable

import anyio

# These end the interpreter or a coroutine, whatever code runs at that moment.
_EXITS = (GeneratorExit, KeyboardInterrupt, SystemExit)
_logger = logging.getLogger("divan_obs_asgi.internal_errors")


class InternalErrors:
    """
    Counts and logs the failures that the parts of the library report.

    Args:
        count: called with the component at every report (feeds `divan_obs_errors_total{component}`).
        every_s: seconds between two log lines of one component.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        count: Callable[[str], None],
        *,
        every_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._count = count
        self._every_s = every_s
        self._clock = clock
        self._logged_at: dict[str, float] = {}
        self._inside = threading.local()

    def report(self, component: str, error: BaseException) -> None:
        """Count a failure of `component`, and log it at most once a minute. Never raises."""
        try:
            self._count(component)
            if self._due(component):
                self._log(component, error)
        except Exception:
            # A broken counter or log handler must not affect the application.
            return

    def _due(self, component: str) -> bool:
        now = self._clock()
        last = self._logged_at.get(component)
        if last is not None and now - last < self._every_s:
            return False
        self._logged_at[component] = now
        return True

    def _log(self, component: str, error: BaseException) -> None:
        # The log sink is a component too: its failure must not be logged through itself.
        if getattr(self._inside, "logging", False):
            return
        self._inside.logging = True
        try:
            # Type and place are enough to find the cause. The text may contain a secret.
            _logger.error(
                "%s failed and was left out: %s at %s; the response is unaffected.",
                component,
                type(error).__name__,
                _place(error),
            )
        finally:
            self._inside.logging = False


def is_exit(error: BaseException) -> bool:
    """
    Return whether an exception of synchronous code must be raised to its caller, because it ends the process.

    A cancellation is not one: it arrives at an `await`, so here it comes from the result of another task. The panic of
    an extension module is not one either.
    """
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(_EXITS) is not None
    return isinstance(error, _EXITS)


def is_foreign_cancellation(error: BaseException) -> bool:
    """Return whether this is the cancellation of a task that the caller awaits, and not the caller's own."""
    return isinstance(error, asyncio.CancelledError) and not _is_cancelled()


def must_propagate(error: BaseException) -> bool:
    """
    Return whether an exception must be raised to the caller, and is not merely a failure of the called code.

    A cancellation must, if the caller itself is cancelled. A caller that awaits a task which was cancelled by others
    gets the same exception, and continues.
    """
    if isinstance(error, Exception):
        return False
    return _is_cancelled() or is_exit(error)


def _is_cancelled() -> bool:
    if anyio.current_effective_deadline() == -math.inf:
        return True
    try:
        # Cancelled by asyncio itself, as by `asyncio.timeout`, and not by a scope of anyio.
        task = asyncio.current_task()
    except RuntimeError:
        return False  # On trio every cancellation comes from a scope.
    return task is not None and task.cancelling() > 0


def _place(error: BaseException) -> str:
    """Return `file:line` of the innermost frame of `error`, without folders."""
    frame = error.__traceback__
    if frame is None:
        return "unknown place"
    while frame.tb_next is not None:
        frame = frame.tb_next
    filename = frame.tb_frame.f_code.co_filename.replace("\\", "/").rpartition("/")[2]
    return f"{filename}:{frame.tb_lineno}"


__all__ = ["InternalErrors", "is_exit", "is_foreign_cancellation", "must_propagate"]
