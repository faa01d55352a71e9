"""Which lines are written when there are too many of them."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable

_TWO_TO_64 = 1 << 64
_TWO_TO_32 = 1 << 32


class Sampler:
    """
    Keeps everything up to a budget of lines a second, and a share of what is above.

    The share is decided by the trace id (the request id where there is no trace), by the same rule as
    OpenTelemetry's TraceIdRatioBased sampler, so that at equal rates a line and its span are kept or dropped
    together.
    """

    def __init__(self, rate: float, budget: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._budget = budget
        self._clock = clock
        self._trace_bound = round(rate * _TWO_TO_64)
        self._request_bound = round(rate * _TWO_TO_32)
        self._second = -1
        self._seen = 0

    def rate_for(self, trace_id: str, request_id: str) -> float:
        """Return the share that an INFO line of this request stands for: 1.0, the rate, or 0.0 (drop it)."""
        if self._rate >= 1.0:
            return 1.0
        second = int(self._clock())
        if second != self._second:
            self._second, self._seen = second, 0
        self._seen += 1
        if self._seen <= self._budget:
            return 1.0
        if trace_id:
            return self._rate if int(trace_id[16:], 16) < self._trace_bound else 0.0
        return self._rate if zlib.crc32(request_id.encode()) < self._request_bound else 0.0


__all__ = ["Sampler"]
