"""An observer's own failures: counted each time, logged once a minute, never passed on."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable

import anyio

# Orders to the interpreter and to coroutines, whoever happens to run when they come.
_ORDERS = (GeneratorExit, KeyboardInterrupt, SystemExit)
_logger = logging.getLogger("divan_obs_asgi.internal_errors")


class InternalErrors:
    """
    Where every part of the library reports what went wrong inside itself.

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
        """Count the failure of `component` and log it, at most once a minute; never raises."""
        try:
            self._count(component)
            if self._due(component):
                self._log(component, error)
        except Exception:
            # The last line of defence: a broken counter or handler must not reach the application.
            return

    def _due(self, component: str) -> bool:
        now = self._clock()
        last = self._logged_at.get(component)
        if last is not None and now - last < self._every_s:
            return False
        self._logged_at[component] = now
        return True

    def _log(self, component: str, error: BaseException) -> None:
        # The log sink is a component too: its failure must not call itself through the logger.
        if getattr(self._inside, "logging", False):
            return
        self._inside.logging = True
        try:
            # The type and the place tell the cause; the text may hold what the redaction policy forbids.
            _logger.error(
                "%s failed and was left out: %s at %s; the response is unaffected.",
                component,
                type(error).__name__,
                _place(error),
            )
        finally:
            self._inside.logging = False


def is_order(error: BaseException) -> bool:
    """
    Tell whether what synchronous code has raised is for its caller, and is not merely what went wrong there.

    A cancellation is not: it is delivered where somebody awaits, so that this one is of something whose result was
    asked for. Nor is the panic of an extension module.
    """
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(_ORDERS) is not None
    return isinstance(error, _ORDERS)


def is_of_another(error: BaseException) -> bool:
    """Tell whether this is the cancellation of a task that the caller has waited for, and not the caller's own."""
    return isinstance(error, asyncio.CancelledError) and not _is_cancelled()


def ends_the_caller(error: BaseException) -> bool:
    """
    Tell whether what was raised below tells the caller to end, and is not merely what went wrong there.

    A cancellation does where the caller itself is cancelled: whoever waits for a task that somebody else has cancelled
    gets the same exception, and lives on.
    """
    if isinstance(error, Exception):
        return False
    return _is_cancelled() or is_order(error)


def _is_cancelled() -> bool:
    if anyio.current_effective_deadline() == -math.inf:
        return True
    try:
        # By no scope of anyio's but by asyncio's own means, as `asyncio.timeout` does.
        task = asyncio.current_task()
    except RuntimeError:
        return False  # Trio has no others.
    return task is not None and task.cancelling() > 0


def _place(error: BaseException) -> str:
    """Return `file:line` of the innermost frame of `error`, the file without its folders."""
    frame = error.__traceback__
    if frame is None:
        return "unknown place"
    while frame.tb_next is not None:
        frame = frame.tb_next
    filename = frame.tb_frame.f_code.co_filename.replace("\\", "/").rpartition("/")[2]
    return f"{filename}:{frame.tb_lineno}"


__all__ = ["InternalErrors", "ends_the_caller", "is_of_another", "is_order"]
