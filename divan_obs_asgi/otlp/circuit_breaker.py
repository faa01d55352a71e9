"""A circuit breaker for exports to the collector. Works without the extra `tracing`."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0

# Not the shared generator of `random`: forked workers would share its state, and the application may have seeded it.
_chance = random.SystemRandom()


class CircuitBreaker:
    """
    Closed while exports succeed. A failure opens it for a pause, which doubles with each further failure.

    After the pause one attempt is allowed; it closes the circuit or opens it again.

    Args:
        clock: seconds, monotonic.
        jitter: a factor for each pause, so that the workers of a fleet do not retry at the same time.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = lambda: _chance.uniform(0.8, 1.2),
    ) -> None:
        self._clock = clock
        self._jitter = jitter
        self._pause_s = FIRST_PAUSE_S
        self._open_until: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether the last export failed."""
        return self._open_until is not None

    def wait_s(self) -> float:
        """Return the seconds until the next attempt; 0.0 if it is allowed now."""
        if self._open_until is None:
            return 0.0
        return max(0.0, self._open_until - self._clock())

    def succeeded(self) -> None:
        """Close the circuit."""
        self._open_until = None
        self._pause_s = FIRST_PAUSE_S

    def failed(self, at_least_s: float = 0.0) -> None:
        """Open the circuit, for longer than before, and for as long as the collector has asked for."""
        # Jitter only prolongs what the collector has asked for.
        pause_s = max(self._pause_s * self._jitter(), at_least_s * max(1.0, self._jitter()))
        self._open_until = self._clock() + pause_s
        self._pause_s = min(LONGEST_PAUSE_S, 2 * self._pause_s)


__all__ = ["FIRST_PAUSE_S", "LONGEST_PAUSE_S", "CircuitBreaker"]
