"""An observer's own failures: counted each time, logged once a minute, never passed on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

_logger = logging.getLogger("divan_obs_asgi.faults")


class Faults:
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


def _place(error: BaseException) -> str:
    """Return `file:line` of the innermost frame of `error`, the file without its folders."""
    frame = error.__traceback__
    if frame is None:
        return "unknown place"
    while frame.tb_next is not None:
        frame = frame.tb_next
    filename = frame.tb_frame.f_code.co_filename.replace("\\", "/").rpartition("/")[2]
    return f"{filename}:{frame.tb_lineno}"


__all__ = ["Faults"]
