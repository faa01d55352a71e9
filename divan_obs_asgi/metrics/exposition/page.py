"""The pages that are scraped: made in a thread, one at a time, and shared by all who asked before it was begun."""

from __future__ import annotations

import time
import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread

import anyio
import anyio.to_thread

from divan_obs_asgi.metrics.exposition.text import Format

# A page of 10,000 series is made in 4 ms. After one that costs more the next one is made a little later, so that pages
# take a fifth of the time at most however many ask for them. None is ever kept: another worker's page may have told of
# more meanwhile, and a counter would go back.
_CHEAP_S = 0.005
_REST = 4.0
_LONGEST_REST_S = 1.0
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
    began_at: float
    ended_at: float
    cost_s: float


class Pages:
    """
    The pages of one registry.

    Args:
        slices: makes a page in parts; called in a thread, which takes a breath between them.
        clock: seconds, monotonic.
        cost: seconds of processor time of the thread.
        sleep: waits for some seconds.
    """

    def __init__(
        self,
        slices: Callable[[Format], Iterable[bytes]],
        *,
        clock: Callable[[], float] = time.monotonic,
        cost: Callable[[], float] = time.thread_time,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._slices = slices
        self._clock = clock
        self._cost = cost
        self._sleep = sleep
        self._locks: dict[tuple[Format, bool], anyio.Lock] = {}
        self._pages: dict[tuple[Format, bool], _Page] = {}

    async def page(self, form: Format, *, compressed: bool) -> bytes:
        """Return the page, with what had been counted when it was asked for."""
        asked_at = self._clock()
        kind = (form, compressed)
        async with self._locks.setdefault(kind, anyio.Lock()):
            page = self._pages.get(kind)
            # One that was begun while its client was waiting is as good.
            if page is None or page.began_at < asked_at:
                if page is not None:
                    await self._sleep(self._rest_s(page))
                # A limit of its own: where all of the application's threads hang, this page has to say so.
                page = await anyio.to_thread.run_sync(self._make, form, compressed, limiter=anyio.CapacityLimiter(1))
                self._pages[kind] = page
            return page.body

    def _rest_s(self, page: _Page) -> float:
        """Return for how long the next page is not to be begun."""
        if page.cost_s <= _CHEAP_S:
            return 0.0
        return max(0.0, page.ended_at + min(_REST * page.cost_s, _LONGEST_REST_S) - self._clock())

    def _make(self, form: Format, compressed: bool) -> _Page:
        began, start = self._clock(), self._cost()
        parts = _breathing(self._slices(form))
        body = _compressed(parts) if compressed else b"".join(parts)
        return _Page(body, began, self._clock(), self._cost() - start)


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
