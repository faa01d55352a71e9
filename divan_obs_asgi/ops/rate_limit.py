"""Counts recent failures by address."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

WINDOW_S = 60.0
# With more addresses, the one whose last failure is oldest is forgotten.
MAX_ADDRESSES = 4096


class RateLimit:
    """
    Counts failures within a minute for a bounded number of addresses, in constant memory for each.

    Args:
        most: failures allowed in a minute; the minute of an address begins with its first failure.
        clock: seconds, monotonic.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        # The start of the minute, and the failures since.
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """Return the seconds that `address` must wait; 0 if it need not."""
        began, count = self._counts.get(address, (0.0, 0))
        return max(0.0, began + WINDOW_S - self._clock()) if count >= self._most else 0.0

    def add(self, address: str) -> None:
        """Count a failure of `address`."""
        now = self._clock()
        began, count = self._counts.get(address, (now, 0))
        self._counts[address] = (began, count + 1) if now - began < WINDOW_S else (now, 1)
        self._counts.move_to_end(address)
        if len(self._counts) > MAX_ADDRESSES:
            self._counts.popitem(last=False)

    def __len__(self) -> int:
        return len(self._counts)


__all__ = ["MAX_ADDRESSES", "WINDOW_S", "RateLimit"]
