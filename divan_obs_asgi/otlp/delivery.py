"""Delivers the batches of a queue: one at a time, in order, and again while the collector is down."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, Literal, TypeAlias, TypeVar

from divan_obs_asgi.otlp.answers import DropReason, Result
from divan_obs_asgi.otlp.circuit_breaker import CircuitBreaker
from divan_obs_asgi.otlp.export_log import ExportLog
from divan_obs_asgi.otlp.exporters import BatchExporter
from divan_obs_asgi.otlp.spool import Spool

T = TypeVar("T")
Outcome: TypeAlias = Literal["exported", "refused"]

# After this many failures of unknown cause a batch is set aside, to find out whether the others fail too.
_ATTEMPTS = 3


@dataclass(slots=True, eq=False)
class Batch(Generic[T]):
    items: list[T]
    payload: bytes | None = None
    watched: bool = False
    attempts: int = 0
    # Set when another batch was delivered while this one had failed three times: the batch itself is the cause.
    last_chance: bool = False


class Delivery(Generic[T]):
    """
    The state of the export thread. `changed` guards what a shutdown reads in another thread.

    A batch that the collector may take later waits for as long as it takes; one that it has refused is dropped. All
    methods without another note are called in the export thread.
    """

    def __init__(
        self,
        exporter: Callable[[], BatchExporter[T]],
        breaker: CircuitBreaker,
        batch_size: int,
        dropped: Callable[[DropReason, int], None],
        failed: Callable[[Exception], None],
        log: ExportLog,
        spool: Spool | None,
    ) -> None:
        self._make_exporter = exporter
        self.breaker = breaker
        self._batch_size = batch_size
        self._dropped = dropped
        self._failed = failed
        self._log = log
        self.spool = spool
        self.queue: deque[T] = deque()
        self.changed = threading.Condition(threading.RLock())
        self.watchers: dict[int, Future[Outcome]] = {}
        self.aborted = False
        self._exporter: BatchExporter[T] | None = None
        self._retry: Batch[T] | None = None
        self._aside: Batch[T] | None = None
        self._in_flight = 0
        self._closed = False

    # Called in any thread.

    def pending(self) -> int:
        """Return how many items are neither delivered nor dropped nor on the disk."""
        waiting = sum(len(batch.items) for batch in (self._retry, self._aside) if batch is not None)
        return len(self.queue) + waiting + self._in_flight

    def end_exporter(self) -> None:
        """End the exporter, and a hanging export with it."""
        with self.changed:
            exporter, self._exporter = self._exporter, None
        if exporter is None:
            return
        try:
            exporter.shutdown()
        except Exception as error:
            self._failed(error)

    def close(self) -> None:
        """Count what is left as dropped; the export thread may still hang."""
        with self.changed:
            left = self.pending()
            self._closed = True
            self.queue.clear()
            self._retry = self._aside = None
            for outcome in self.watchers.values():
                outcome.set_result("refused")
            self.watchers.clear()
        if left:
            self._dropped("shutdown", left)

    # Called in the export thread.

    def run_round(self, *, at_once: bool) -> bool:
        """Export what is due, also from the disk; return False if an export has failed."""
        if not at_once and self.breaker.wait_s():
            self._store()
            return True
        # Items that arrive during an export wait for the next round, unless they fill a batch.
        due, good, stored = self.pending(), True, self.spool is not None
        while good and (due > 0 or stored) and not self.aborted:
            if due > 0:
                taken, good = self._send_next()
                due -= taken
            if good and stored:
                stored, good = self._send_stored()
        if not good:
            self._store()
        return good

    def finish(self) -> None:
        """Export everything, or leave it on the disk."""
        while self.pending() and not self.aborted:
            if not self._send_next()[1]:
                break
        self._store()

    def _send_next(self) -> tuple[int, bool]:
        batch = self._next_batch()
        result = self._sent(batch)
        with self.changed:
            self._in_flight = 0
            lost = self._settle(batch, result)
            if self._closed:
                # A shutdown that did not wait has already counted the batch as dropped.
                self._retry = self._aside = None
                self.queue.clear()
                lost = 0
        self._notify(batch, "exported" if result.outcome == "delivered" and not result.rejected else "refused")
        self._count(result, lost)
        return len(batch.items), result.outcome == "delivered"

    def _next_batch(self) -> Batch[T]:
        with self.changed:
            batch: Batch[T] = Batch([])
            while self.watchers and self.queue and id(self.queue[0]) in self.watchers:
                batch.items.append(self.queue.popleft())
                batch.watched = True
            if not batch.watched and self._retry is not None:
                batch, self._retry = self._retry, None
            elif not batch.watched and not self.queue and self._aside is not None:
                batch, self._aside = self._aside, None
            elif not batch.watched:
                batch.items.extend(self._from_queue())
            self._in_flight = len(batch.items)
            return batch

    def _from_queue(self) -> list[T]:
        return [self.queue.popleft() for _ in range(min(self._batch_size, len(self.queue)))]

    def _sent(self, batch: Batch[T]) -> Result:
        try:
            exporter = self._exporter
            if exporter is None:
                exporter = self._exporter = self._make_exporter()
            if batch.payload is None:
                batch.payload = exporter.encode(batch.items)
            return exporter.send(batch.items, batch.payload)
        except Exception as error:
            self._failed(error)
            return Result("failed", "the exporter has failed")

    def _settle(self, batch: Batch[T], result: Result) -> int:
        """Update the circuit, keep the batch if it can be sent again, and return how many of its items are lost."""
        if result.outcome == "delivered":
            self.breaker.succeeded()
            if self._aside is not None and self._retry is None:
                self._retry, self._aside = self._aside, None
                self._retry.last_chance = True
            return min(result.rejected, len(batch.items))
        self.breaker.failed(result.retry_after_s)
        if self.aborted:
            self._keep(batch)
            return 0
        if result.outcome == "refused":
            return len(batch.items)
        if result.outcome == "failed":
            batch.attempts += 1
            if batch.last_chance:
                return len(batch.items)
        self._keep(batch)
        return 0

    def _keep(self, batch: Batch[T]) -> None:
        if batch.watched:
            # The queue may have no room for the test span; it then has none for others either.
            self.queue.extendleft(reversed(batch.items))
        elif batch.attempts >= _ATTEMPTS and self._aside is None:
            self._aside = batch
        else:
            self._retry = batch

    def _count(self, result: Result, lost: int) -> None:
        if lost:
            self._dropped("rejected" if result.outcome == "delivered" else result.reason, lost)
        if not self.aborted:
            self._log.note(result)

    def _notify(self, batch: Batch[T], outcome: Outcome) -> None:
        if not self.watchers:
            return
        for item in batch.items:
            watcher = self.watchers.pop(id(item), None)
            if watcher is not None:
                watcher.set_result(outcome)

    # The disk.

    def _send_stored(self) -> tuple[bool, bool]:
        """Send the oldest stored batch; return whether there was one, and False if its export has failed."""
        assert self.spool is not None
        stored = self.spool.oldest()
        if stored is None:
            return False, True
        try:
            result = self._sent(Batch([], stored.payload))
        except BaseException:
            stored.release()
            raise
        if result.outcome in ("delivered", "refused"):
            stored.remove()
            self._count(result, min(result.rejected, stored.count) if result.outcome == "delivered" else stored.count)
        else:
            stored.release()
            self._count(result, 0)
        if result.outcome == "delivered":
            self.breaker.succeeded()
            return True, True
        self.breaker.failed(result.retry_after_s)
        return True, False

    def _store(self) -> None:
        """Move what waits to the disk, as far as the disk takes it."""
        while self.spool is not None:
            with self.changed:
                batch, self._retry = self._retry, None
                if batch is None:
                    batch = Batch(self._from_queue())
                if not batch.items:
                    return
            # Not in flight any more: a shutdown that does not wait for the disk must not count these as dropped.
            if not self._stored(batch):
                with self.changed:
                    lost = self._closed
                    if not lost:
                        self._retry = batch
                if lost:
                    self._dropped("shutdown", len(batch.items))
                return

    def _stored(self, batch: Batch[T]) -> bool:
        assert self.spool is not None
        try:
            if batch.payload is None:
                exporter = self._exporter or self._make_exporter()
                self._exporter = exporter
                batch.payload = exporter.encode(batch.items)
            return batch.payload is not None and self.spool.put(batch.payload, len(batch.items))
        except Exception as error:
            self._failed(error)
            return False


__all__ = ["Delivery", "Outcome"]
