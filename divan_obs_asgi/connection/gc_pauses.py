"""How long the garbage collector has stopped this process."""

from __future__ import annotations

import gc
from time import perf_counter


class GcPauses:
    """
    Adds up the pauses of the garbage collector. It stops every thread that runs Python code.

    Attributes:
        total_s: seconds so far.
    """

    def __init__(self) -> None:
        self.total_s = 0.0
        self._began = 0.0

    def measure(self) -> None:
        """Measure from now on; a second call does nothing."""
        if self._callback not in gc.callbacks:
            gc.callbacks.append(self._callback)

    def _callback(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began = perf_counter()
        elif self._began:
            # A collection during which the measuring began has no start.
            self.total_s += perf_counter() - self._began
            self._began = 0.0


# The collector is one for the whole process, and so are its pauses.
pauses = GcPauses()

__all__ = ["GcPauses", "pauses"]
