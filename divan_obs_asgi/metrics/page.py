"""The pages that are scraped: made in a thread, one at a time, and shared by all who ask meanwhile."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread

import anyio
import anyio.to_thread

from divan_obs_asgi.metrics.rendering import Format

# A page of 10,000 series is made in 4 ms. One that costs more is kept for a moment, one that costs less is always new:
# whoever has just done something finds it counted.
_CHEAP_S = 0.005
_KEPT_S = 1.0
# Three quarters of the size in a quarter of the time of the default, 6.
_LEVEL = 1
# zlib, "deflateInit2": the largest window, with the header of gzip.
_GZIP = 16 + zlib.MAX_WBITS


# CPython hands the interpreter over after 5 ms of asking (sys.getswitchinterval): so long the event loop would stand
# still, time and again. A thread that sleeps hands it over at once.
_BREATH_S = 0.00005
_AT_A_TIME_S = 0.001


@dataclass(frozen=True, slots=True)
class _Page:
    body: bytes
    made_at: float
    cost_s: float


class Pages:
    """
    The pages of one registry.

    Args:
        slices: makes a page in parts; called in a thread, which takes a breath between them.
        clock: seconds, monotonic.
        cost: seconds of processor time of the thread.
    """

    def __init__(
        self,
        slices: Callable[[Format], Iterable[bytes]],
        *,
        clock: Callable[[], float] = time.monotonic,
        cost: Callable[[], float] = time.thread_time,
    ) -> None:
        self._slices = slices
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
                # A limit of its own: where all of the application's threads hang, this page has to say so.
                page = await anyio.to_thread.run_sync(self._make, form, compressed, limiter=anyio.CapacityLimiter(1))
                self._pages[kind] = page
            return page.body

    def _is_good(self, page: _Page, asked_at: float) -> bool:
        """Tell whether a page was made while its client was waiting, or is costly and still fresh."""
        return page.made_at >= asked_at or (page.cost_s > _CHEAP_S and self._clock() - page.made_at < _KEPT_S)

    def _make(self, form: Format, compressed: bool) -> _Page:
        start = self._cost()
        parts = _breathing(self._slices(form))
        body = _compressed(parts) if compressed else b"".join(parts)
        return _Page(body, self._clock(), self._cost() - start)


def _breathing(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the parts, and let other threads go on in between."""
    began = time.perf_counter()
    for part in parts:
        yield part
        if time.perf_counter() - began > _AT_A_TIME_S:
            time.sleep(_BREATH_S)
            began = time.perf_counter()


def _compressed(parts: Iterable[bytes]) -> bytes:
    """
    Return them as gzip.

    A second thread compresses what there is while the next part is made: zlib does not need the interpreter.
    """
    done: list[bytes] = []
    queue: SimpleQueue[bytes | None] = SimpleQueue()

    def compress() -> None:
        # No time in it: the same series make the same bytes.
        compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        # All that there is, in one go: for each go it waits for the interpreter, which the other thread has.
        while there_is := [queue.get(), *(queue.get() for _ in range(queue.qsize()))]:
            done.append(compressor.compress(b"".join(filter(None, there_is))))
            if there_is[-1] is None:
                break
        done.append(compressor.flush())

    thread = Thread(target=compress, name="divan_obs_asgi.gzip", daemon=True)
    thread.start()
    try:
        for part in parts:
            queue.put(part)
    finally:
        queue.put(None)
        thread.join()
    return b"".join(done)


__all__ = ["Pages"]
