"""How /metrics was last scraped."""

from __future__ import annotations

import time
from collections.abc import Callable

# Scrapers that did not come for so long are gone.
_GONE_S = 300.0
_MOST_SCRAPERS = 20


class Scrapes:
    """
    Remembers the last scrape, and the number of scrapers.

    Args:
        clock: seconds, monotonic.

    Attributes:
        at: when the last one ended, by the clock; None before the first one.
        seconds: how long it took.
        size: the bytes that were sent.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._scrapers: dict[str, float] = {}
        self.at: float | None = None
        self.seconds = 0.0
        self.size = 0

    def note(self, scraper: str, seconds: float, size: int) -> None:
        """Note a scrape by a client, whose address is not shown anywhere."""
        now = self._clock()
        self.at, self.seconds, self.size = now, seconds, size
        self._scrapers.pop(scraper, None)
        self._scrapers[scraper] = now
        while len(self._scrapers) > _MOST_SCRAPERS:
            del self._scrapers[next(iter(self._scrapers))]

    @property
    def age_s(self) -> float | None:
        """Seconds since the last scrape; None before the first one."""
        return None if self.at is None else self._clock() - self.at

    @property
    def scrapers(self) -> int:
        """The number of clients that have scraped in the last five minutes."""
        now = self._clock()
        return sum(now - at < _GONE_S for at in tuple(self._scrapers.values()))


__all__ = ["Scrapes"]
