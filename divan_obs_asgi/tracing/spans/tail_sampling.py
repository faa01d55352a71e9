"""Tail sampling: keeps unsampled spans of failed and slow requests. Works without the extra `tracing`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal, TypeAlias

from divan_obs_asgi.connection.record import Record
from divan_obs_asgi.types import Outcome

# The outcomes that are errors of the service by the HTTP semantic conventions.
FAILED: frozenset[Outcome | None] = frozenset({"error", "error_after_start", "incomplete"})

Reason: TypeAlias = Literal["error", "slow"]


class TailSampler:
    """
    Keeps the spans of failed and slow requests, up to a maximum per second.

    Args:
        slow_s: the duration from which a request is slow; a long poll (`RequestRecord.lingers`) is never slow.
        budget: maximum number of kept spans per second.
        clock: seconds, monotonic.
    """

    def __init__(self, slow_s: float, budget: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._slow_s = slow_s
        self._budget = budget
        self._clock = clock
        self._second = -1
        self._kept = 0

    def reason(self, record: Record) -> Reason | None:
        """Return why the span of a finished record is kept, or None if it is not kept."""
        if record.outcome in FAILED:
            reason: Reason = "error"
        elif record.duration_s >= self._slow_s and not record.lingers:
            reason = "slow"
        else:
            return None
        second = int(self._clock())
        if second != self._second:
            self._second, self._kept = second, 0
        if self._kept >= self._budget:
            return None
        self._kept += 1
        return reason


__all__ = ["FAILED", "Reason", "TailSampler"]
