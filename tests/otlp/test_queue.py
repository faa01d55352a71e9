"""The export queue: what it accepts, what it drops, and how it ends."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from time import monotonic
from unittest.mock import Mock

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags

from divan_obs_asgi.otlp import queue
from divan_obs_asgi.otlp.answers import DropReason
from divan_obs_asgi.otlp.circuit_breaker import CircuitBreaker
from divan_obs_asgi.otlp.queue import Limits
from divan_obs_asgi.tracing.export.span_queue import ExportQueue, SdkExporter
from divan_obs_asgi.tracing.spans.recording import RecordingSpan

# Long enough for any machine; no test waits for it.
PATIENCE_S = 20.0


class Collector(SpanExporter):
    """
    An exporter whose results are scripted.

    Attributes:
        answers: cleared, an export hangs until it is set, or until the exporter is shut down.
        accepts: whether exports succeed.
        batches: the spans' names of each export that was tried.
    """

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.answers.set()
        self.asked = threading.Event()
        self.accepts = True
        self.breaks = False
        self.poison = ""
        self.batches: list[list[str]] = []
        self.received: list[str] = []
        self.ended = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        names = [span.name for span in spans]
        self.batches.append(names)
        self.asked.set()
        self.answers.wait(PATIENCE_S)
        if self.breaks:
            raise RuntimeError("on purpose")
        if self.ended or not self.accepts or self.poison in names:
            return SpanExportResult.FAILURE
        self.received += names
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self.ended = True
        self.answers.set()


class Exporting:
    """A queue with a `Collector`, and the dropped spans."""

    def __init__(self, clock: Callable[[], float] = lambda: 0.0, **limits: float) -> None:
        self.collector = Collector()
        self.lost: dict[DropReason, int] = {}
        self.failures: list[Exception] = []
        self.made = 0
        options: dict[str, float] = {"queue": 10, "batch": 4, "delay_s": PATIENCE_S, "shutdown_s": PATIENCE_S, **limits}
        self.queue = ExportQueue(
            self._make,
            self._dropped,
            self.failures.append,
            Limits(int(options["queue"]), int(options["batch"]), options["delay_s"], options["shutdown_s"]),
            breaker=lambda: CircuitBreaker(clock, jitter=lambda: 1.0),
        )

    def _make(self) -> SdkExporter:
        self.made += 1
        return SdkExporter(self.collector)

    def _dropped(self, reason: DropReason, count: int) -> None:
        self.lost[reason] = self.lost.get(reason, 0) + count

    def end(self, *names: str) -> None:
        for name in names:
            self.queue.on_end(ended(name))


def ended(name: str) -> RecordingSpan:
    identity = SpanContext(1, 2, False, TraceFlags(1))
    scope = InstrumentationScope("t", "")
    span = RecordingSpan(name, identity, None, SpanKind.SERVER, Resource.get_empty(), scope, 1)
    span.close(name, {}, None, 2)
    return span


def test_a_full_batch_is_exported_at_once() -> None:
    """It needs no flush; a smaller number of spans waits for the delay."""
    exporting = Exporting()
    exporting.end("a", "b", "c")
    assert exporting.collector.batches == []
    exporting.end("d")
    assert exporting.collector.asked.wait(PATIENCE_S)
    assert exporting.collector.batches == [["a", "b", "c", "d"]]


def test_a_flush_exports_the_queue() -> None:
    """In batches, in order, each span once."""
    exporting = Exporting()
    exporting.end(*"abcdef")
    assert exporting.queue.force_flush(20_000)
    assert exporting.collector.received == list("abcdef")
    assert max(map(len, exporting.collector.batches)) <= 4
    assert exporting.lost == {}


def test_a_span_waits_no_longer_than_its_delay() -> None:
    """A service with low traffic is exported too."""
    exporting = Exporting(delay_s=0.02)
    exporting.end("a")
    assert exporting.collector.asked.wait(PATIENCE_S)
    assert exporting.collector.batches == [["a"]]


def test_a_full_queue_drops_and_counts_spans_without_waiting() -> None:
    """A hanging collector does not block requests, and the backlog is bounded."""
    exporting = Exporting()
    exporting.collector.answers.clear()
    exporting.end(*"abcd")
    assert exporting.collector.asked.wait(PATIENCE_S)
    # From here on the collector hangs; ten find room, and all of these calls return.
    exporting.end(*map(str, range(25)))
    assert exporting.lost == {"queue_full": 15}
    exporting.collector.answers.set()
    assert exporting.queue.force_flush(20_000)
    assert exporting.collector.received == [*"abcd", *map(str, range(10))]


def test_spans_are_queued_while_the_circuit_is_open() -> None:
    """If a collector restarts within the pause, no span is dropped, and there is no attempt before its end."""
    now = [0.0]
    exporting = Exporting(clock=lambda: now[0])
    exporting.collector.accepts = False
    exporting.end("a")
    assert not exporting.queue.force_flush(20_000)
    exporting.end("b")
    exporting.collector.accepts = True
    assert exporting.queue.force_flush(20_000), "a flush asks whatever the pause"
    assert exporting.collector.received == ["a", "b"]
    assert exporting.lost == {}


def test_with_a_full_queue_the_open_circuit_is_the_reason() -> None:
    """A dashboard then shows the failing collector, not a small queue, as the cause."""
    exporting = Exporting()
    exporting.collector.accepts = False
    exporting.end("a")
    assert not exporting.queue.force_flush(20_000)
    asked = len(exporting.collector.batches)
    exporting.end(*map(str, range(12)))
    assert exporting.lost == {"circuit_open": 2}
    assert len(exporting.collector.batches) == asked, "the pause of the circuit breaker is not over"


def test_a_batch_waits_for_as_long_as_every_export_fails() -> None:
    """An exporter that does not say why it fails may be down, so nothing is dropped while there is room."""
    exporting = Exporting()
    exporting.collector.accepts = False
    exporting.end("a", "b")
    for _ in range(9):
        assert not exporting.queue.force_flush(20_000)
    exporting.collector.accepts = True
    exporting.end("c")
    assert exporting.queue.force_flush(20_000)
    assert sorted(exporting.collector.received) == ["a", "b", "c"]
    assert exporting.lost == {}


def test_a_batch_that_alone_fails_is_dropped() -> None:
    """Others have been delivered meanwhile, so the batch itself is the cause; it must not block them."""
    exporting = Exporting(batch=2)
    exporting.collector.poison = "bad"
    exporting.end("bad", "a")
    for _ in range(3):
        assert not exporting.queue.force_flush(20_000)
    exporting.end("b")
    assert not exporting.queue.force_flush(20_000)
    assert exporting.lost == {"export_failed": 2}
    exporting.end("c")
    assert exporting.queue.force_flush(20_000)
    assert exporting.collector.received == ["b", "c"]


def test_an_exception_of_the_exporter_counts_as_a_refusal() -> None:
    """The thread continues, and the callback for failures is called."""
    exporting = Exporting()
    exporting.collector.breaks = True
    exporting.end("a")
    assert not exporting.queue.force_flush(20_000)
    assert [str(error) for error in exporting.failures] == ["on purpose"]
    exporting.collector.breaks = False
    assert exporting.queue.force_flush(20_000)
    assert exporting.collector.received == ["a"]


def test_a_callback_that_raises_does_not_end_the_exports() -> None:
    """The thread survives exceptions of its callbacks."""
    exporting = Exporting()
    broken = [RuntimeError("no counter")]

    def drop(reason: DropReason, count: int) -> None:
        if broken:
            raise broken.pop()

    exporting.queue._dropped = drop
    exporting.collector.poison = "a"
    exporting.end("a")
    for _ in range(3):
        exporting.queue.force_flush(20_000)
    exporting.end("b")
    exporting.queue.force_flush(20_000)
    exporting.end("c")
    assert exporting.queue.force_flush(20_000)
    assert exporting.collector.received == ["b", "c"]
    assert [str(error) for error in exporting.failures] == ["no counter"]


def test_a_shutdown_exports_the_queue() -> None:
    """The spans of the last requests are exported; spans after the shutdown are counted as dropped."""
    exporting = Exporting()
    exporting.end(*"abcdef")
    exporting.queue.shutdown()
    assert exporting.collector.received == list("abcdef")
    assert exporting.collector.ended
    exporting.end("late")
    exporting.queue.shutdown()
    assert exporting.lost == {"shutdown": 1}


def test_a_span_is_kept_if_the_thread_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without memory or threads the request is served, the failure is reported, and the next span retries."""
    exporting = Exporting()
    with monkeypatch.context() as patch:
        patch.setattr("threading.Thread.start", Mock(side_effect=RuntimeError("can't start new thread")))
        exporting.end("a")
    assert [str(error) for error in exporting.failures] == ["can't start new thread"]
    exporting.end("b")
    exporting.queue.shutdown()
    assert exporting.collector.received == ["a", "b"]
    assert exporting.lost == {}


def test_a_failing_shutdown_of_the_exporter_is_reported() -> None:
    """The spans are already exported; no traceback of a thread is printed."""
    exporting = Exporting()
    exporting.collector.shutdown = Mock(side_effect=OSError("gone"))  # type: ignore[method-assign]
    exporting.end("a")
    exporting.queue.shutdown()
    assert exporting.collector.received == ["a"]
    assert [str(error) for error in exporting.failures] == ["gone"]


def test_a_shutdown_ends_in_time_if_the_collector_hangs() -> None:
    """A deployment does not wait for it; each span that was not exported is counted once."""
    exporting = Exporting(shutdown_s=0.05)
    exporting.collector.answers.clear()
    exporting.end(*"abcd")
    assert exporting.collector.asked.wait(PATIENCE_S)
    exporting.end(*"efghij")
    started = monotonic()
    exporting.queue.shutdown()
    # The exporter hangs for 20 s; a busy machine may take its time for 50 ms.
    assert monotonic() - started < PATIENCE_S / 4
    assert exporting.collector.received == []
    assert exporting.lost == {"shutdown": 10}


def test_a_shutdown_after_a_failed_flush_does_not_wait_again() -> None:
    """The end of the lifespan has already waited for this collector."""
    exporting = Exporting(shutdown_s=PATIENCE_S)
    exporting.collector.answers.clear()
    exporting.end(*"abcd")
    assert not exporting.queue.force_flush(10)
    started = monotonic()
    exporting.queue.shutdown()
    assert monotonic() - started < PATIENCE_S / 2
    assert exporting.lost == {"shutdown": 4}


def test_a_submitted_span_reports_its_outcome() -> None:
    """It is exported before the queue, even if the circuit is open."""
    exporting = Exporting()
    exporting.collector.accepts = False
    assert exporting.queue.submit(ended("a")).result(PATIENCE_S) == "refused"
    exporting.end("b")
    exporting.collector.accepts = True
    assert exporting.queue.submit(ended("c")).result(PATIENCE_S) == "exported"
    exporting.queue.shutdown()
    assert exporting.queue.submit(ended("d")).result(PATIENCE_S) == "refused"
    assert exporting.lost == {}


def test_thread_and_exporter_are_created_at_the_first_span() -> None:
    """A server that forks after loading the application does not pass them to its workers."""
    before = threading.active_count()
    exporting = Exporting()
    assert exporting.queue.force_flush(20_000)
    assert (threading.active_count(), exporting.made) == (before, 0)
    exporting.queue.shutdown()
    assert exporting.made == 0


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_worker_exports_its_own_spans_only() -> None:
    """The parent exports the spans from before the fork; the child creates its own thread and exporter."""
    exporting = Exporting()
    exporting.end("parents")
    assert exporting.queue.force_flush(20_000)
    exporting.end("parents too")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            exporting.end("childs")
            exported = exporting.queue.force_flush(20_000)
            os.write(writing, f"{exported} {exporting.collector.received} {exporting.made}".encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 1000) == b"True ['parents', 'childs'] 2"
    os.close(reading)
    os.close(writing)
    assert exporting.queue.force_flush(20_000)
    assert exporting.collector.received == ["parents", "parents too"]
    assert exporting.made == 1


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_no_export_runs_during_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child could not use what the thread was using. One that hangs is cancelled, and made again by the parent."""
    monkeypatch.setattr(queue, "_FORK_S", 0.02)
    exporting = Exporting()
    exporting.collector.answers.clear()
    exporting.end("a", "b", "c", "d")
    assert exporting.collector.asked.wait(PATIENCE_S)
    child = os.fork()
    if child == 0:
        os._exit(exporting.collector.batches != [["a", "b", "c", "d"]] or not exporting.collector.ended)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    exporting.collector.ended = False
    assert exporting.queue.force_flush(20_000)
    assert exporting.collector.received == ["a", "b", "c", "d"]
    assert (exporting.made, exporting.lost) == (2, {})
