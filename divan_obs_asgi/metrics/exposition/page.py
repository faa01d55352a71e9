"""Creates the pages for scrapes: in a thread, one at a time, for all clients that requested one before its start."""

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

# A page of 10,000 series takes 4 ms. A more expensive page is followed by a pause, so that pages use at most a fifth of
# a core, however many clients request them. Pages are not cached: another worker's page may have exposed larger counts
# meanwhile, and a counter would decrease.
_CHEAP_S = 0.005
_PAUSE_FACTOR = 4.0
_MAX_PAUSE_S = 1.0
# Level 1 takes a third of the time of the default (6), for a page that is a sixth larger.
_LEVEL = 1
# zlib, "deflateInit2": the largest window, with the header of gzip.
_GZIP = 16 + zlib.MAX_WBITS

# CPython switches threads 5 ms after another thread has requested it (sys.getswitchinterval), and would block the event
# loop for that long again and again. A thread that sleeps gives the interpreter up at once.
_YIELD_S = 0.00005
_YIELD_INTERVAL_S = 0.001


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
        slices: yields a page in parts; called in a thread, which pauses between the parts.
        clock: monotonic seconds.
        cost: processor time of the thread in seconds.
        sleep: waits for the given seconds.
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
        """Return the page; it includes everything that was counted before the request."""
        requested_at = self._clock()
        kind = (form, compressed)
        async with self._locks.setdefault(kind, anyio.Lock()):
            page = self._pages.get(kind)
            # A page that was started while this request was waiting is recent enough.
            if page is None or page.began_at < requested_at:
                if page is not None:
                    await self._sleep(self._pause_s(page))
                # A limiter of its own: the page must work even if all threads of the application hang.
                page = await anyio.to_thread.run_sync(self._create, form, compressed, limiter=anyio.CapacityLimiter(1))
                self._pages[kind] = page
            return page.body

    def _pause_s(self, page: _Page) -> float:
        """Return the remaining pause before the next page may start."""
        if page.cost_s <= _CHEAP_S:
            return 0.0
        return max(0.0, page.ended_at + min(_PAUSE_FACTOR * page.cost_s, _MAX_PAUSE_S) - self._clock())

    def _create(self, form: Format, compressed: bool) -> _Page:
        began, start = self._clock(), self._cost()
        parts = _with_pauses(self._slices(form))
        body = _compressed(parts) if compressed else b"".join(parts)
        return _Page(body, began, self._clock(), self._cost() - start)


def _with_pauses(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the parts, and let other threads run between them."""
    began = time.perf_counter()
    for part in parts:
        yield part
        if time.perf_counter() - began > _YIELD_INTERVAL_S:
            time.sleep(_YIELD_S)
            began = time.perf_counter()


def _compressed(parts: Iterable[bytes]) -> bytes:
    """
    Return the parts as gzip.

    A second thread compresses the finished parts while the next one is created: zlib does not need the interpreter.
    """
    output: list[bytes] = []
    queue: SimpleQueue[bytes | None] = SimpleQueue()

    def compress() -> None:
        # The header has no timestamp: equal series give equal bytes.
        compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        # The whole queue at once: each step waits for the interpreter, which the other thread holds.
        while queued := [queue.get(), *(queue.get() for _ in range(queue.qsize()))]:
            output.append(compressor.compress(b"".join(filter(None, queued))))
            if queued[-1] is None:
                break
        output.append(compressor.flush())

    thread = Thread(target=compress, name="divan_obs_asgi.gzip", daemon=True)
    thread.start()
    try:
        for part in parts:
            queue.put(part)
    finally:
        queue.put(None)
        thread.join()
    return b"".join(output)


__all__ = ["Pages"]
