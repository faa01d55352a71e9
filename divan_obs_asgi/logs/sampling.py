"""Sampling: which lines are written under load."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable

from divan_obs_asgi.connection.record import Record

_TWO_TO_64 = 1 << 64
_TWO_TO_32 = 1 << 32


class Sampler:
    """
    Keeps all lines up to a budget of lines per second, and a share of the lines above it.

    The trace id decides (without a trace, the request id), by the rule of OpenTelemetry's TraceIdRatioBased sampler. At
    equal rates a line and its span are kept or dropped together.

    Attributes:
        keeps_all: whether the rate is 1, so that no line is dropped.
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
        Return the sample rate of an INFO line of this connection: 1.0, the configured rate, or 0.0 (drop it).

        For an HTTP request or an event, the first line decides for all lines, even if load begins or ends later. A
        WebSocket may last for hours, so each line is decided anew. If its id is in the share, all of its lines are
        kept.
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
        """Return the sample rate of a single line."""
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
