"""How often an address has failed of late."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable

WINDOW_S = 60.0
# Of more addresses than this the one that failed longest ago is forgotten; who has so many needs no patience.
MAX_ADDRESSES = 4096


class Failures:
    """
    Remembers the failures of the last minute, of a bounded number of addresses.

    Args:
        most: as many in a minute are allowed.
        clock: seconds, monotonic.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """Return for how many seconds `address` is not to be listened to; 0 where it is."""
        times = self._times.get(address)
        if times is None or len(times) < self._most:
            return 0.0
        return max(0.0, times[0] + WINDOW_S - self._clock())

    def add(self, address: str) -> None:
        """Remember that `address` has failed."""
        times = self._times.setdefault(address, deque(maxlen=self._most))
        times.append(self._clock())
        self._times.move_to_end(address)
        if len(self._times) > MAX_ADDRESSES:
            self._times.popitem(last=False)

    def __len__(self) -> int:
        return len(self._times)


__all__ = ["MAX_ADDRESSES", "WINDOW_S", "Failures"]
