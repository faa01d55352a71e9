"""The pages that are scraped: made in a thread, one at a time, and shared by all who ask meanwhile."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable
from dataclasses import dataclass

import anyio
import anyio.to_thread

from divan_obs_asgi.metrics.rendering import Format

# A page of 10,000 series is made in 4 ms. One that costs more is kept for a moment, one that costs less is always new:
# whoever has just done something finds it counted.
_CHEAP_S = 0.005
_KEPT_S = 1.0
# Three quarters of the size in a quarter of the time of the default, 6.
_LEVEL = 1


@dataclass(frozen=True, slots=True)
class _Page:
    body: bytes
    made_at: float
    cost_s: float


class Pages:
    """
    The pages of one registry.

    Args:
        render: makes a page; called in a thread.
        clock: seconds, monotonic.
        cost: seconds of processor time of the thread.
    """

    def __init__(
        self,
        render: Callable[[Format], bytes],
        *,
        clock: Callable[[], float] = time.monotonic,
        cost: Callable[[], float] = time.thread_time,
    ) -> None:
        self._render = render
        self._clock = clock
        self._cost = cost
        self._locks: dict[tuple[Format, bool], anyio.Lock] = {}
        self._pages: dict[tuple[Format, bool], _Page] = {}

    async def page(self, form: Format, *, compressed: bool) -> bytes:
        """Return the page, a second old at most."""
        asked_at = self._clock()
        kind = (form, compressed)
        async with self._locks.setdefault(kind, anyio.Lock()):
            page = self._pages.get(kind)
            if page is None or not self._is_good(page, asked_at):
                page = await anyio.to_thread.run_sync(self._make, form, compressed)
                self._pages[kind] = page
            return page.body

    def _is_good(self, page: _Page, asked_at: float) -> bool:
        """Tell whether a page was made while its client was waiting, or is costly and still fresh."""
        return page.made_at >= asked_at or (page.cost_s > _CHEAP_S and self._clock() - page.made_at < _KEPT_S)

    def _make(self, form: Format, compressed: bool) -> _Page:
        start = self._cost()
        body = self._render(form)
        if compressed:
            # No time in it: the same series make the same bytes.
            body = gzip.compress(body, _LEVEL, mtime=0)
        return _Page(body, self._clock(), self._cost() - start)


__all__ = ["Pages"]
