"""How many requests a client may send, and how many all of them together."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from divan_obs_asgi.ops.rate_limit import MAX_ADDRESSES, WINDOW_S


class TokenBuckets:
    """
    A token bucket for each of a bounded number of clients. A new one is full; the one used longest ago is forgotten.

    Args:
        per_minute: tokens that a bucket gains in a minute; it holds no more than these.
        clock: seconds, monotonic.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = float(per_minute)
        self._per_second = per_minute / WINDOW_S
        self._clock = clock
        # Tokens that were left, and when.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> float:
        """Take a token of `client` and return 0; where there is none, return the seconds until there is."""
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
