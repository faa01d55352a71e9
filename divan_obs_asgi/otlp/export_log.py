"""Log lines about exports: one for each change of the state, not one for each batch."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from divan_obs_asgi.otlp.answers import Result

_logger = logging.getLogger("divan_obs_asgi.tracing")
# A state that comes and goes is logged this often at most.
_EVERY_S = 60.0
_LONGEST_MESSAGE = 200


class ExportLog:
    """
    Logs what prevents exports, and when they work again.

    Args:
        items: what is exported, for the first word of a line: `Spans`.
        redact: applied to the words of the collector, which may repeat what it was sent.
    """

    def __init__(
        self,
        items: str = "Spans",
        redact: Callable[[str], str] = lambda text: "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._items = items
        self._redact = redact
        self._clock = clock
        self._logged_at: dict[str, float] = {}
        self._failing = ""
        self._disk = ""

    def note(self, result: Result) -> None:
        """Log the result of an export if it differs from the last one."""
        if result.outcome == "delivered":
            if self._failing:
                self._failing = ""
                _logger.info("%s are exported again.", self._items)
            if result.kind and self._is_due(result.kind):
                message = self._redact(result.message[:_LONGEST_MESSAGE]) or "without a reason"
                _logger.warning("%s: %s, %d rejected: %s", self._items, result.kind, result.rejected, message)
        elif result.kind != self._failing:
            logged = self._is_due(result.kind)
            if logged:
                wait = "they are dropped" if result.outcome == "refused" else "they wait while there is room"
                _logger.warning("%s are not exported: %s; %s.", self._items, result.kind, wait)
            # "Exported again" follows a line about the failure only.
            self._failing = result.kind if logged or self._failing else ""

    def note_disk(self, problem: str) -> None:
        """Log why the disk keeps nothing, or (with an empty text) that it does again."""
        if problem == self._disk:
            return
        if not problem:
            _logger.info("%s can wait on the disk again.", self._items)
        elif self._is_due(problem):
            _logger.warning("OBS_TELEMETRY_DIR: %s; %s wait in memory only.", problem, self._items.lower())
        self._disk = problem

    def _is_due(self, kind: str) -> bool:
        now = self._clock()
        last = self._logged_at.get(kind)
        if last is not None and now - last < _EVERY_S:
            return False
        self._logged_at[kind] = now
        return True


__all__ = ["ExportLog"]
