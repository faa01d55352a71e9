"""Limits the requests of a client, or of all clients together."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from divan_obs_asgi.ops.rate_limit import MAX_ADDRESSES, WINDOW_S


class TokenBuckets:
    """
    A token bucket for each of a bounded number of clients. New buckets are full; the least recently used is forgotten.

    Args:
        per_minute: tokens that a bucket gains in a minute, and its capacity.
        clock: seconds, monotonic.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = float(per_minute)
        self._per_second = per_minute / WINDOW_S
        self._clock = clock
        # The tokens left, and when that was.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> float:
        """Take a token of `client` and return 0; from an empty bucket, return the seconds until the next token."""
        now = self._clock()
        left, at = self._buckets.get(client, (self._most, now))
        left = min(self._most, left + (now - at) * self._per_second)
        if left < 1.0:
            return (1.0 - left) / self._per_second
        self._buckets[client] = (left - 1.0, now)
        self._buckets.move_to_end(client)
        if len(self._buckets) > MAX_ADDRESSES:
            self._buckets.popitem(last=False)
        return 0.0

    def __len__(self) -> int:
        return len(self._buckets)


__all__ = ["TokenBuckets"]
