"""The bounded queue of one signal, and its export thread. Requires the extra `tracing`."""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from divan_obs_asgi.lifecycle.signals import at_termination
from divan_obs_asgi.otlp.answers import DROP_REASONS, DropReason
from divan_obs_asgi.otlp.circuit_breaker import CircuitBreaker
from divan_obs_asgi.otlp.delivery import Delivery, Outcome
from divan_obs_asgi.otlp.export_log import ExportLog
from divan_obs_asgi.otlp.exporters import BatchExporter
from divan_obs_asgi.otlp.sdk_private import SUPPRESSED
from divan_obs_asgi.otlp.spool import Spool

T = TypeVar("T")

# How long a fork waits for exports in progress, and then for the end of those that it has cancelled.
_FORK_S, _FORK_CANCEL_S = 1.0, 5.0
# The share of the shutdown time after which a hanging export is cancelled.
_DRAIN_SHARE = 0.9


@dataclass(frozen=True)
class Limits:
    """
    Attributes:
        queue: maximum number of queued items.
        batch: maximum number of items per request to the collector.
        delay_s: maximum delay between two exports.
        shutdown_s: maximum duration of a shutdown.
    """

    queue: int = 2048
    batch: int = 512
    delay_s: float = 5.0
    shutdown_s: float = 5.0

    @classmethod
    def of(cls, queue: int, batch: int, delay_ms: int, shutdown_s: float) -> Self:
        """Return the limits that the flags of a signal set; a larger batch than the queue would never be full."""
        return cls(queue, min(batch, queue), delay_ms / 1000, shutdown_s)


class BatchQueue(Generic[T]):
    """
    Queues items without waiting for the collector, and exports them from its own thread.

    Each dropped item is counted once. A failed export opens a circuit breaker. While the circuit is open, items stay in
    the queue as long as it has room, or move to the disk, and the failed batch is retried for as long as it takes.

    The thread and the exporter are created at the first item of a process, so that a forked worker inherits neither.

    Args:
        exporter: creates the exporter; called in the export thread.
        dropped: called with the reason and the number of dropped items.
        failed: called with an unexpected exception.
        log: logs what prevents exports.
        spool: keeps batches on the disk while the collector is down; None to keep them in memory only.
        owns_exporter: False for an exporter that was passed in: others may still use it, so only `shutdown` closes it.
    """

    def __init__(
        self,
        exporter: Callable[[], BatchExporter[T]],
        dropped: Callable[[DropReason, int], None],
        failed: Callable[[Exception], None],
        limits: Limits | None = None,
        breaker: Callable[[], CircuitBreaker] = CircuitBreaker,
        clock: Callable[[], float] = time.monotonic,
        *,
        log: ExportLog | None = None,
        spool: Spool | None = None,
        owns_exporter: bool = True,
    ) -> None:
        self._owns_exporter = owns_exporter
        self._make_exporter = exporter
        self._make_breaker = breaker
        self._dropped = dropped
        self._failed = failed
        self._limits = limits or Limits()
        self._clock = clock
        self._log = log or ExportLog()
        self._spool = spool
        self._start_over()
        _queues.add(self)

    def _start_over(self) -> None:
        self._breaker = self._make_breaker()
        self._delivery: Delivery[T] = Delivery(
            self._make_exporter,
            self._breaker,
            self._limits.batch,
            # Looked up at each call: a test may replace it.
            lambda reason, count: self._dropped(reason, count),
            self._failed,
            self._log,
            self._spool,
        )
        self._queue = self._delivery.queue
        self._changed = self._delivery.changed
        self._wake_up = threading.Event()
        self._thread: threading.Thread | None = None
        # A thread that `pause` has left with a collector that does not respond.
        self._leaving: threading.Thread | None = None
        # Numbers of flushes. One that is requested during a round belongs to the next one.
        self._flushes_requested = 0
        self._flushes_done = 0
        self._flush_succeeded = True
        self._stop = threading.Event()
        # Held while the export thread works; a fork waits for it.
        self._working = threading.Lock()
        self._ending = False
        self._abandoned = False
        self._last_flush_failed_at: float | None = None

    # Called by requests: takes no lock, and makes no system call except to wake the thread for a full batch.

    def put(self, item: T) -> None:
        """Queue one item, or count it as dropped."""
        if self._ending:
            self._dropped("shutdown", 1)
            return
        length = len(self._queue)
        if length >= self._limits.queue:
            self._dropped("circuit_open" if self._breaker.is_open else "queue_full", 1)
            return
        self._queue.append(item)
        if (length + 1) % self._limits.batch == 0:
            self._wake_up.set()
        if self._thread is None:
            self._start_thread()

    # Called by operators and at shutdown.

    @property
    def fails(self) -> bool:
        """Whether the last export failed."""
        return self._breaker.is_open

    @property
    def length(self) -> int:
        """The number of queued items."""
        return len(self._queue)

    def submit(self, item: T) -> Future[Outcome]:
        """Queue one item and export it now, even if the circuit is open; return a future of the outcome."""
        outcome: Future[Outcome] = Future()
        with self._changed:
            if self._ending or len(self._queue) >= self._limits.queue:
                outcome.set_result("refused")
                return outcome
            self._delivery.watchers[id(item)] = outcome
            # At the front: the queue may be long.
            self._queue.appendleft(item)
            self._flushes_requested += 1
        self._wake_up.set()
        if self._thread is None:
            self._start_thread()
        return outcome

    def force_flush(self, timeout_millis: int | None = None) -> bool:
        """Export the queue; return False if that fails or takes longer than `timeout_millis`."""
        timeout_s = self._limits.shutdown_s if timeout_millis is None else timeout_millis / 1000
        with self._changed:
            if self._thread is None or self._ending:
                return not self._delivery.pending()
            self._flushes_requested += 1
            awaited = self._flushes_requested
            self._wake_up.set()
            in_time = self._changed.wait_for(lambda: self._flushes_done >= awaited, timeout_s)
            flushed = in_time and self._flush_succeeded
        self._last_flush_failed_at = None if flushed else self._clock()
        return flushed

    def pause(self) -> None:
        """
        Export the queue, then end the thread and our exporter; the next item starts them again.

        If the collector does not respond, the thread ends after its current attempt.
        """
        flushed = self.force_flush()
        with self._changed:
            thread, self._thread = self._thread, None
            self._stop.set()
            self._stop = threading.Event()
        self._wake_up.set()
        if thread is not None and flushed:
            thread.join(self._limits.shutdown_s)
        elif thread is not None:
            self._leaving = thread

    def finish_with(self, owner: object) -> None:
        """Call `finish_in_background` when `owner`, which nobody has shut down, is freed."""
        weakref.finalize(owner, _finish, weakref.ref(self)).atexit = False

    def finish_in_background(self) -> None:
        """Let the thread export the queue and then end; does not wait and takes no lock."""
        self._abandoned = self._ending = True
        self._wake_up.set()

    def shutdown(self) -> None:
        """Export the queue within the time limit, count the remaining items as dropped, and end the thread."""
        with self._changed:
            if self._ending:
                return
            self._ending = True
            thread, self._thread = self._thread or self._leaving, None
        deadline = self._clock() + self._limits.shutdown_s
        failed_at = self._last_flush_failed_at
        # Do not wait again if the end of the lifespan has just waited for the same collector without success.
        waits = failed_at is None or self._clock() - failed_at > 2 * self._limits.shutdown_s
        self._wake_up.set()
        if thread is not None:
            thread.join(self._limits.shutdown_s * _DRAIN_SHARE if waits else 0.0)
        self._delivery.aborted = True
        if thread is not None and thread.is_alive():
            # This cancels a hanging export. It may hang itself if the exporter is not ours, hence the separate thread.
            end = threading.Thread(target=self._delivery.end_exporter, name="divan-obs-export-end", daemon=True)
            # CPython 3.12 and later start no thread while the interpreter ends; the hanging thread then ends with it.
            with suppress(RuntimeError):
                end.start()
                end.join(max(0.0, deadline - self._clock()))
            thread.join(max(0.0, deadline - self._clock()))
        self._delivery.close()

    def _cancel_export(self) -> None:
        """End an export that hangs; an exporter that was passed in has to end by itself."""
        if self._owns_exporter:
            self._delivery.end_exporter()

    # Called in the export thread.

    def _start_thread(self) -> None:
        with self._changed:
            if self._thread is not None or self._ending or sys.is_finalizing():
                return  # A thread started while the interpreter ends never runs, but the interpreter waits for it.
            thread = threading.Thread(target=self._run, args=(self._stop,), name="divan-obs-export", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                # No memory or too many threads: the next item retries.
                self._failed(error)
            else:
                self._thread = thread

    def _run(self, stop: threading.Event) -> None:
        # The exporter's own calls (gRPC, HTTP) must not create spans, which would be exported in turn.
        otel_context.attach(Context(dict.fromkeys(SUPPRESSED, True)))
        while not (self._ending or stop.is_set()):
            self._wake_up.wait(self._pause_s())
            self._wake_up.clear()
            try:
                with self._working:
                    self._run_round()
            except Exception as error:
                # A callback that raises must not end the export thread.
                self._failed(error)
        if self._ending:
            with self._working:
                self._delivery.finish()
        if self._owns_exporter or not (self._abandoned or stop.is_set()):
            self._delivery.end_exporter()

    def _pause_s(self) -> float:
        """Return the seconds until the next attempt, or the maximum delay between exports."""
        if not self._breaker.is_open:
            return self._limits.delay_s
        wait_s = max(0.001, self._breaker.wait_s())
        # Meanwhile the queue moves to the disk.
        return wait_s if self._spool is None else min(wait_s, self._limits.delay_s)

    def _run_round(self) -> None:
        requested = self._flushes_requested
        succeeded = False
        try:
            succeeded = self._delivery.run_round(at_once=requested > self._flushes_done)
        finally:
            if requested > self._flushes_done:
                with self._changed:
                    self._flushes_done = requested
                    self._flush_succeeded = succeeded
                    self._changed.notify_all()


def _finish(reference: weakref.ref[BatchQueue[Any]]) -> None:
    queue = reference()
    if queue is not None:
        queue.finish_in_background()


_queues: weakref.WeakSet[BatchQueue[Any]] = weakref.WeakSet()
# One thread forks at a time. It may fork again meanwhile, in a signal handler.
_forking = threading.RLock()
_held: list[list[threading.Lock]] = []


def _wait_before_fork() -> None:
    """
    Wait until no thread exports.

    A lock that another thread holds during a fork is never released in the child. So the child could neither import
    what the thread was importing, nor use gRPC while the thread was in a call: gRPC then skips its own preparation for
    the fork, with "Other threads are currently calling into gRPC, skipping fork() handlers".
    """
    _forking.acquire()
    working = {queue: queue._working for queue in list(_queues)}
    deadline = time.monotonic() + _FORK_S
    held = [lock for lock in working.values() if lock.acquire(timeout=max(0.0, deadline - time.monotonic()))]
    late = [queue for queue, lock in working.items() if lock not in held]
    for queue in late:
        # The collector does not respond. The batch is kept, and sent again after the fork.
        queue._cancel_export()
    deadline = time.monotonic() + _FORK_CANCEL_S
    held += [queue._working for queue in late if queue._working.acquire(timeout=max(0.0, deadline - time.monotonic()))]
    _held.append(held)


def _go_on_after_fork() -> None:
    for lock in _held.pop():
        lock.release()
    _forking.release()


def _start_over_after_fork() -> None:
    # The parent exports its own queue. Its thread, locks and connection do not exist in the child process.
    for queue in list(_queues):
        queue._start_over()
    _go_on_after_fork()


def _flush_all(timeout_s: float) -> None:
    """Flush all queues at termination: uvicorn does not notify an application without a lifespan."""
    for queue in list(_queues):
        queue.force_flush(int(timeout_s * 1000))


os.register_at_fork(before=_wait_before_fork, after_in_parent=_go_on_after_fork, after_in_child=_start_over_after_fork)
at_termination.append(_flush_all)

__all__ = ["DROP_REASONS", "BatchQueue", "DropReason", "Limits", "Outcome"]
