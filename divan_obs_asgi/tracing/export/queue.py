"""Between the requests and the collector: a bounded queue and one thread. Imported only where tracing is on."""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, TypeAlias

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from divan_obs_asgi.lifecycle.signals import at_termination
from divan_obs_asgi.tracing.export.circuit_breaker import CircuitBreaker

DropReason: TypeAlias = Literal["queue_full", "circuit_open", "export_failed", "shutdown"]
DROP_REASONS: tuple[DropReason, ...] = ("queue_full", "circuit_open", "export_failed", "shutdown")
Outcome: TypeAlias = Literal["exported", "refused"]

# How often one batch is tried: a restarting collector loses none, and none that it cannot digest blocks for ever.
_ATTEMPTS = 3
# The share of a shutdown's time after which an export that still hangs is cancelled.
_DRAIN_SHARE = 0.9


@dataclass(frozen=True)
class Limits:
    """
    Attributes:
        queue: spans that wait at most.
        batch: spans in one request to the collector.
        delay_s: the longest that a span waits for company.
        shutdown_s: the longest that a shutdown takes.
    """

    queue: int = 2048
    batch: int = 512
    delay_s: float = 5.0
    shutdown_s: float = 5.0


class ExportQueue(SpanProcessor):
    """
    Takes ended spans without ever waiting for the collector, and exports them from a thread of its own.

    What is lost is counted, each span once. A failed export opens a circuit breaker; while it is open spans wait in
    the queue as long as there is room, and its batch is tried again.

    Thread and exporter are made at the first span of a process, so that neither is inherited by a forked worker.

    Args:
        exporter: makes the exporter; called in the exporting thread.
        dropped: called with the reason and the number of spans that are lost.
        failed: called with what the exporter raised.
        owns_exporter: False where it was passed to us: others may use it after us, and only `shutdown` ends it.
    """

    def __init__(
        self,
        exporter: Callable[[], SpanExporter],
        dropped: Callable[[DropReason, int], None],
        failed: Callable[[Exception], None],
        limits: Limits | None = None,
        breaker: Callable[[], CircuitBreaker] = CircuitBreaker,
        clock: Callable[[], float] = time.monotonic,
        *,
        owns_exporter: bool = True,
    ) -> None:
        self._owns_exporter = owns_exporter
        self._make_exporter = exporter
        self._make_breaker = breaker
        self._dropped = dropped
        self._failed = failed
        self._limits = limits or Limits()
        self._clock = clock
        self._start_over()
        _queues.add(self)

    def _start_over(self) -> None:
        self._queue: deque[ReadableSpan] = deque()
        self._changed = threading.Condition(threading.RLock())
        self._wake_up = threading.Event()
        self._thread: threading.Thread | None = None
        self._exporter: SpanExporter | None = None
        self._breaker = self._make_breaker()
        self._retry: list[ReadableSpan] = []
        self._attempts = 0
        self._in_flight = 0
        self._flush_requested = False
        self._flush_succeeded = True
        self._stop = threading.Event()
        self._ending = False
        self._abandoned = False
        self._aborted = False
        self._closed = False
        self._watchers: dict[int, Future[Outcome]] = {}
        self._last_flush_failed_at: float | None = None

    # What requests call: no lock, no system call but the one that wakes the thread for a full batch.

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Do nothing."""

    def on_end(self, span: ReadableSpan) -> None:
        if self._ending:
            self._dropped("shutdown", 1)
            return
        waiting = len(self._queue)
        if waiting >= self._limits.queue:
            self._dropped("circuit_open" if self._breaker.is_open else "queue_full", 1)
            return
        self._queue.append(span)
        if (waiting + 1) % self._limits.batch == 0:
            self._wake_up.set()
        if self._thread is None:
            self._start_thread()

    # What the operators call.

    @property
    def fails(self) -> bool:
        """Whether the last export failed."""
        return self._breaker.is_open

    def submit(self, span: ReadableSpan) -> Future[Outcome]:
        """Queue one span and have it exported now, whatever the circuit breaker says; tells how that went."""
        outcome: Future[Outcome] = Future()
        with self._changed:
            if self._ending or len(self._queue) >= self._limits.queue:
                outcome.set_result("refused")
                return outcome
            self._watchers[id(span)] = outcome
            # In front of all others, which may be many.
            self._queue.appendleft(span)
            self._flush_requested = True
        self._wake_up.set()
        if self._thread is None:
            self._start_thread()
        return outcome

    def force_flush(self, timeout_millis: int | None = None) -> bool:
        """Export what is queued; False where that fails or takes longer than `timeout_millis`."""
        timeout_s = self._limits.shutdown_s if timeout_millis is None else timeout_millis / 1000
        with self._changed:
            if self._thread is None or self._ending:
                return not self._waiting()
            self._flush_requested = True
            self._wake_up.set()
            in_time = self._changed.wait_for(lambda: not self._flush_requested, timeout_s)
            flushed = in_time and self._flush_succeeded
        self._last_flush_failed_at = None if flushed else self._clock()
        return flushed

    def pause(self) -> None:
        """
        Export what is queued, and end the thread and our exporter; the next span starts them again.

        Where a collector takes nothing, the thread ends when it has given up the present attempt.
        """
        patient = self.force_flush()
        with self._changed:
            thread, self._thread = self._thread, None
            self._stop.set()
            self._stop = threading.Event()
        self._wake_up.set()
        if thread is not None and patient:
            thread.join(self._limits.shutdown_s)

    def finish_in_background(self) -> None:
        """Nobody uses the queue any more: have its thread export the rest and end. Waits for nothing, takes no lock."""
        self._abandoned = self._ending = True
        self._wake_up.set()

    def shutdown(self) -> None:
        """Export what is queued, as far as that is possible in time, count the rest as lost, and end the thread."""
        with self._changed:
            if self._ending:
                return
            self._ending = True
            thread, self._thread = self._thread, None
        deadline = self._clock() + self._limits.shutdown_s
        before = self._last_flush_failed_at
        # The end of the lifespan may just have waited for the same collector, in vain.
        patient = before is None or self._clock() - before > 2 * self._limits.shutdown_s
        self._wake_up.set()
        if thread is not None:
            thread.join(self._limits.shutdown_s * _DRAIN_SHARE if patient else 0.0)
        self._aborted = True
        if thread is not None and thread.is_alive():
            # Cancels an export that hangs; may hang itself, where the exporter is not ours.
            end = threading.Thread(target=self._end_exporter, name="divan-obs-export-end", daemon=True)
            # From CPython 3.12 on, none can be started at the end of the interpreter; the hanging one ends with that.
            with suppress(RuntimeError):
                end.start()
                end.join(max(0.0, deadline - self._clock()))
            thread.join(max(0.0, deadline - self._clock()))
        self._drop_remaining()

    def _end_exporter(self) -> None:
        with self._changed:
            exporter, self._exporter = self._exporter, None
        if exporter is None:
            return
        try:
            exporter.shutdown()
        except Exception as error:
            self._failed(error)

    def _drop_remaining(self) -> None:
        with self._changed:
            left = self._waiting()
            self._closed = True
            self._queue.clear()
            self._retry = []
            for outcome in self._watchers.values():
                outcome.set_result("refused")
            self._watchers.clear()
        if left:
            self._dropped("shutdown", left)

    def _waiting(self) -> int:
        return len(self._queue) + len(self._retry) + self._in_flight

    # What the thread does.

    def _start_thread(self) -> None:
        with self._changed:
            if self._thread is not None or self._ending or sys.is_finalizing():
                return  # A thread that is started while the interpreter ends never runs, and is waited for.
            thread = threading.Thread(target=self._run, args=(self._stop,), name="divan-obs-export", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                # No memory, or too many threads: the next span tries again.
                self._failed(error)
            else:
                self._thread = thread

    def _run(self, stop: threading.Event) -> None:
        # What the exporter calls (gRPC, HTTP) must not make spans: they would be exported in turn.
        otel_context.attach(Context())
        with suppress_instrumentation():
            while not (self._ending or stop.is_set()):
                self._wake_up.wait(self._pause_s())
                self._wake_up.clear()
                try:
                    self._export_due_batches()
                except Exception as error:
                    # A counter that raises must not be the end of all exports.
                    self._failed(error)
            if self._ending:
                self._export_remaining()
            if self._owns_exporter or not (self._abandoned or stop.is_set()):
                self._end_exporter()

    def _pause_s(self) -> float:
        """Return how long to sleep: to the next attempt, or as long as a span may wait for company."""
        if self._breaker.is_open:
            return max(0.001, self._breaker.wait_s())
        return self._limits.delay_s

    def _export_due_batches(self) -> None:
        flush_requested = self._flush_requested
        if flush_requested or not self._breaker.wait_s():
            # What came in while a batch was on its way can wait for the next turn, unless it fills one.
            count = len(self._queue) + len(self._retry)
            succeeded = True
            while count > 0 and succeeded and not self._aborted:
                taken, succeeded = self._export_one_batch()
                count -= taken
            self._flush_succeeded = succeeded
        if flush_requested:
            with self._changed:
                self._flush_requested = False
                self._changed.notify_all()

    def _export_remaining(self) -> None:
        while (self._queue or self._retry) and not self._aborted:
            if not self._export_one_batch()[1]:
                return

    def _export_one_batch(self) -> tuple[int, bool]:
        batch = self._next_batch()
        succeeded = self._exported(batch)
        lost = 0
        with self._changed:
            self._in_flight = 0
            if succeeded:
                self._breaker.succeeded()
            else:
                self._breaker.failed()
                self._attempts += 1
                if self._attempts < _ATTEMPTS or self._aborted:
                    self._retry = batch
                else:
                    lost = len(batch)
            if self._closed:
                # A shutdown that did not wait has counted it as lost.
                self._retry, lost = [], 0
        if lost:
            self._dropped("export_failed", lost)
        self._notify_watchers(batch, "exported" if succeeded else "refused")
        return len(batch), succeeded

    def _next_batch(self) -> list[ReadableSpan]:
        batch, self._retry = self._retry, []
        if not batch:
            self._attempts = 0
            for _ in range(min(self._limits.batch, len(self._queue))):
                batch.append(self._queue.popleft())
        # Whoever waits for one span does not wait for those before it.
        while self._watchers and self._queue and id(self._queue[0]) in self._watchers:
            batch.append(self._queue.popleft())
        self._in_flight = len(batch)
        return batch

    def _exported(self, batch: Sequence[ReadableSpan]) -> bool:
        try:
            if self._exporter is None:
                self._exporter = self._make_exporter()
            return self._exporter.export(batch) is SpanExportResult.SUCCESS
        except Exception as error:
            self._failed(error)
            return False

    def _notify_watchers(self, batch: Sequence[ReadableSpan], outcome: Outcome) -> None:
        if not self._watchers:
            return
        for span in batch:
            watcher = self._watchers.pop(id(span), None)
            if watcher is not None:
                watcher.set_result(outcome)


_queues: weakref.WeakSet[ExportQueue] = weakref.WeakSet()


def _start_over_after_fork() -> None:
    # What was queued is the parent's to export; its thread, its locks and its channel are not in this process.
    for queue in list(_queues):
        queue._start_over()


def _flush_all(timeout_s: float) -> None:
    """uvicorn ends by its signal without a word to an application that has no lifespan."""
    for queue in list(_queues):
        queue.force_flush(int(timeout_s * 1000))


os.register_at_fork(after_in_child=_start_over_after_fork)
at_termination.append(_flush_all)

__all__ = ["DROP_REASONS", "DropReason", "ExportQueue", "Limits", "Outcome"]
