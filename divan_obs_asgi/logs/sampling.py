"""Which lines are written when there are too many of them."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable

from divan_obs_asgi.connection.record import Record

_TWO_TO_64 = 1 << 64
_TWO_TO_32 = 1 << 32


class Sampler:
    """
    Keeps everything up to a budget of lines a second, and a share of what is above.

    The share is decided by the trace id (the request id where there is no trace), by the same rule as
    OpenTelemetry's TraceIdRatioBased sampler, so that at equal rates a line and its span are kept or dropped
    together.

    Attributes:
        keeps_all: whether it drops nothing, so that there is nothing to ask.
    """

    def __init__(self, rate: float, budget: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self.keeps_all = rate >= 1.0
        self._budget = budget
        self._clock = clock
        self._trace_bound = round(rate * _TWO_TO_64)
        self._request_bound = round(rate * _TWO_TO_32)
        self._second = -1
        self._seen = 0

    def rate_of(self, record: Record) -> float:
        """
        Return the share that an INFO line of this connection stands for: 1.0, the rate, or 0.0 (drop it).

        An HTTP request or an event keeps the answer of its first line, also where load begins or ends in its middle. A
        WebSocket may last for hours and is asked about again; those whose id is in the share are kept whole.
        """
        if self.keeps_all:
            return 1.0
        loaded = self._count()
        decided = record.log_rate
        if decided is None:
            decided = self._share(record.trace_id, record.request_id) if loaded else 1.0
            if record.kind != "websocket":
                record.log_rate = decided
        return decided

    def rate_for(self, trace_id: str, request_id: str) -> float:
        """Return the same for a line of its own."""
        if self.keeps_all or not self._count():
            return 1.0
        return self._share(trace_id, request_id)

    def _count(self) -> bool:
        """Count a line, written or not; return whether it is above the budget of its second."""
        second = int(self._clock())
        if second != self._second:
            self._second, self._seen = second, 0
        self._seen += 1
        return self._seen > self._budget

    def _share(self, trace_id: str, request_id: str) -> float:
        if trace_id:
            return self._rate if int(trace_id[16:], 16) < self._trace_bound else 0.0
        return self._rate if zlib.crc32(request_id.encode("utf-8", "replace")) < self._request_bound else 0.0


__all__ = ["Sampler"]
