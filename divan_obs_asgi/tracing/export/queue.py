"""The bounded queue of ended spans and its export thread. Requires the extra `tracing`."""

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

# Attempts per batch. The retries bridge a restart of the collector; the limit drops a batch that it always refuses.
_ATTEMPTS = 3
# The share of the shutdown time after which a hanging export is cancelled.
_DRAIN_SHARE = 0.9


@dataclass(frozen=True)
class Limits:
    """
    Attributes:
        queue: maximum number of queued spans.
        batch: maximum number of spans per request to the collector.
        delay_s: maximum delay between two exports.
        shutdown_s: maximum duration of a shutdown.
    """

    queue: int = 2048
    batch: int = 512
    delay_s: float = 5.0
    shutdown_s: float = 5.0


class ExportQueue(SpanProcessor):
    """
    Queues ended spans without waiting for the collector, and exports them from its own thread.

    Each dropped span is counted once. A failed export opens a circuit breaker. While the circuit is open, spans stay in
    the queue as long as it has room, and the failed batch is retried.

    The thread and the exporter are created at the first span of a process, so that a forked worker inherits neither.

    Args:
        exporter: creates the exporter; called in the export thread.
        dropped: called with the reason and the number of dropped spans.
        failed: called with an exception of the exporter.
        owns_exporter: False for an exporter that was passed in: others may still use it, so only `shutdown` closes it.
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

    # Called by requests: takes no lock, and makes no system call except to wake the thread for a full batch.

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Do nothing."""

    def on_end(self, span: ReadableSpan) -> None:
        if self._ending:
            self._dropped("shutdown", 1)
            return
        length = len(self._queue)
        if length >= self._limits.queue:
            self._dropped("circuit_open" if self._breaker.is_open else "queue_full", 1)
            return
        self._queue.append(span)
        if (length + 1) % self._limits.batch == 0:
            self._wake_up.set()
        if self._thread is None:
            self._start_thread()

    # Called by operators and at shutdown.

    @property
    def fails(self) -> bool:
        """Whether the last export failed."""
        return self._breaker.is_open

    def submit(self, span: ReadableSpan) -> Future[Outcome]:
        """Queue one span and export it now, even if the circuit is open; return a future of the outcome."""
        outcome: Future[Outcome] = Future()
        with self._changed:
            if self._ending or len(self._queue) >= self._limits.queue:
                outcome.set_result("refused")
                return outcome
            self._watchers[id(span)] = outcome
            # At the front: the queue may be long.
            self._queue.appendleft(span)
            self._flush_requested = True
        self._wake_up.set()
        if self._thread is None:
            self._start_thread()
        return outcome

    def force_flush(self, timeout_millis: int | None = None) -> bool:
        """Export the queue; return False if that fails or takes longer than `timeout_millis`."""
        timeout_s = self._limits.shutdown_s if timeout_millis is None else timeout_millis / 1000
        with self._changed:
            if self._thread is None or self._ending:
                return not self._pending()
            self._flush_requested = True
            self._wake_up.set()
            in_time = self._changed.wait_for(lambda: not self._flush_requested, timeout_s)
            flushed = in_time and self._flush_succeeded
        self._last_flush_failed_at = None if flushed else self._clock()
        return flushed

    def pause(self) -> None:
        """
        Export the queue, then end the thread and our exporter; the next span starts them again.

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

    def finish_in_background(self) -> None:
        """Let the thread export the queue and then end; does not wait and takes no lock."""
        self._abandoned = self._ending = True
        self._wake_up.set()

    def shutdown(self) -> None:
        """Export the queue within the time limit, count the remaining spans as dropped, and end the thread."""
        with self._changed:
            if self._ending:
                return
            self._ending = True
            thread, self._thread = self._thread, None
        deadline = self._clock() + self._limits.shutdown_s
        failed_at = self._last_flush_failed_at
        # Do not wait again if the end of the lifespan has just waited for the same collector without success.
        waits = failed_at is None or self._clock() - failed_at > 2 * self._limits.shutdown_s
        self._wake_up.set()
        if thread is not None:
            thread.join(self._limits.shutdown_s * _DRAIN_SHARE if waits else 0.0)
        self._aborted = True
        if thread is not None and thread.is_alive():
            # This cancels a hanging export. It may hang itself if the exporter is not ours, hence the separate thread.
            end = threading.Thread(target=self._end_exporter, name="divan-obs-export-end", daemon=True)
            # CPython 3.12 and later start no thread while the interpreter ends; the hanging thread then ends with it.
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
            left = self._pending()
            self._closed = True
            self._queue.clear()
            self._retry = []
            for outcome in self._watchers.values():
                outcome.set_result("refused")
            self._watchers.clear()
        if left:
            self._dropped("shutdown", left)

    def _pending(self) -> int:
        return len(self._queue) + len(self._retry) + self._in_flight

    # Called in the export thread.

    def _start_thread(self) -> None:
        with self._changed:
            if self._thread is not None or self._ending or sys.is_finalizing():
                return  # A thread started while the interpreter ends never runs, but the interpreter waits for it.
            thread = threading.Thread(target=self._run, args=(self._stop,), name="divan-obs-export", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                # No memory or too many threads: the next span retries.
                self._failed(error)
            else:
                self._thread = thread

    def _run(self, stop: threading.Event) -> None:
        # The exporter's own calls (gRPC, HTTP) must not create spans, which would be exported in turn.
        otel_context.attach(Context())
        with suppress_instrumentation():
            while not (self._ending or stop.is_set()):
                self._wake_up.wait(self._pause_s())
                self._wake_up.clear()
                try:
                    self._export_due_batches()
                except Exception as error:
                    # A callback that raises must not end the export thread.
                    self._failed(error)
            if self._ending:
                self._export_remaining()
            if self._owns_exporter or not (self._abandoned or stop.is_set()):
                self._end_exporter()

    def _pause_s(self) -> float:
        """Return the seconds until the next attempt, or the maximum delay between exports."""
        if self._breaker.is_open:
            return max(0.001, self._breaker.wait_s())
        return self._limits.delay_s

    def _export_due_batches(self) -> None:
        flush_requested = self._flush_requested
        if flush_requested or not self._breaker.wait_s():
            # Spans that arrive during an export wait for the next turn, unless they fill a batch.
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
                # A shutdown that did not wait has already counted the batch as dropped.
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
        # A watched span is exported at once, together with the batch that is retried.
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
    # The parent exports its own queue. Its thread, locks and gRPC channel do not exist in the child process.
    for queue in list(_queues):
        queue._start_over()


def _flush_all(timeout_s: float) -> None:
    """Flush all queues at termination: uvicorn does not notify an application without a lifespan."""
    for queue in list(_queues):
        queue.force_flush(int(timeout_s * 1000))


os.register_at_fork(after_in_child=_start_over_after_fork)
at_termination.append(_flush_all)

__all__ = ["DROP_REASONS", "DropReason", "ExportQueue", "Limits", "Outcome"]
