"""Exports by OTLP, at an interval, the series that /metrics exposes. Requires the extra `tracing`."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import anyio
import anyio.to_thread
import orjson
from opentelemetry.sdk.resources import Resource

from divan_obs_asgi.metrics.multiprocess import forks
from divan_obs_asgi.metrics.multiprocess.locks import try_lock, unlock
from divan_obs_asgi.otlp.exports import shut_down_at_exit
from divan_obs_asgi.otlp.metric_encoder import MetricEncoder
from divan_obs_asgi.otlp.points import Series
from divan_obs_asgi.otlp.queue import BatchQueue
from divan_obs_asgi.otlp.resource import of_signal

_INSTANCE = "service.instance.id"


class MetricExport:
    """
    Puts all series into the queue, once in an interval and at the end.

    Workers that share a directory export their sum, which is what each of them exposes: the one that holds the lock of
    a file in the directory exports. When it ends, another one goes on, as the same instance and from the same numbers.

    Args:
        read: returns a context in which the series of all workers can be read.
        load: imports the exporter.
        directory: the directory that the workers share; None for a single worker.
    """

    def __init__(
        self,
        read: Callable[[], AbstractContextManager[Iterable[Series]]],
        queue: BatchQueue[bytes],
        resource: Resource,
        load: Callable[[], object],
        failed: Callable[[Exception], object],
        *,
        interval_s: float,
        delta: bool,
        directory: Path | None,
    ) -> None:
        self._read = read
        self._queue = queue
        self._resource = resource
        self.prepare = load
        self._failed = failed
        self._interval_s = interval_s
        self._delta = delta
        self._turn = Turn(directory / "otlp-metrics.lock") if directory is not None else None
        self._encoder = MetricEncoder(delta=delta, start_ns=time.time_ns())
        # A scheduled export and a flush may meet.
        self.lock = threading.RLock()
        forks.register(self)
        queue.finish_with(self)
        shut_down_at_exit(self)

    async def run(self) -> None:
        """Export at the interval until cancelled."""
        while True:
            await anyio.sleep(self._interval_s)
            await anyio.to_thread.run_sync(self.collect, limiter=anyio.CapacityLimiter(1))

    def collect(self) -> None:
        """Queue the present numbers, if it is this worker's turn; never raises."""
        try:
            with self.lock:
                self._collect()
        except Exception as error:
            self._failed(error)

    def _collect(self) -> None:
        resource, turn = self._resource, self._turn
        if turn is not None:
            taken = turn.take()
            if taken is None:
                return
            if taken:
                self._encoder = MetricEncoder(delta=self._delta, start_ns=turn.start_ns)
                turn.restore(self._encoder)
            resource = Resource({**resource.attributes, _INSTANCE: turn.instance}, resource.schema_url)
        with self._read() as families:
            self._queue.put(of_signal(resource, self._encoder.encoded(families, time.time_ns())))
        if turn is not None:
            turn.save(self._encoder if self._delta else None)

    def flush(self) -> None:
        """Export the present numbers."""
        self.collect()
        self._queue.force_flush()

    def pause(self) -> None:
        """End the thread, and leave further exports to another worker; `flush` comes before."""
        self._queue.pause()
        with self.lock:
            if self._turn is not None:
                self._turn.leave()

    def shutdown(self) -> None:
        """Export for the last time, because the process ends."""
        self.collect()
        self._queue.shutdown()

    def forked(self) -> None:
        """Do nothing: the queue starts over by itself, and the turn knows its process."""


class Turn:
    """A file whose lock says which worker exports. It has what the next one needs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._pid = 0
        self.instance = ""
        self.start_ns = 0
        self._state: list[tuple[str, list[tuple[str, str]], list[float]]] = []
        self._last_ns = 0

    def take(self) -> bool | None:
        """Return None if another worker exports, True if this one has just begun to, False if it goes on."""
        if self._descriptor is not None and self._pid == os.getpid():
            return False
        if self._descriptor is not None:
            os.close(self._descriptor)  # The parent's, which keeps its lock.
            self._descriptor = None
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        if not try_lock(descriptor):
            os.close(descriptor)
            return None
        self._descriptor, self._pid = descriptor, os.getpid()
        self._load(descriptor)
        return True

    def restore(self, encoder: MetricEncoder) -> None:
        """Have an encoder go on where the last worker has ended."""
        encoder.state = {
            (name, tuple((key, value) for key, value in labels)): tuple(numbers)
            for name, labels, numbers in self._state
        }
        encoder.last_ns, self._state = self._last_ns, []

    def save(self, encoder: MetricEncoder | None) -> None:
        """Write what the next worker needs; the numbers only for delta temporality."""
        state = (
            [] if encoder is None else [[name, labels, numbers] for (name, labels), numbers in encoder.state.items()]
        )
        last_ns = 0 if encoder is None else encoder.last_ns
        self._write({"instance": self.instance, "start_ns": self.start_ns, "last_ns": last_ns, "state": state})

    def leave(self) -> None:
        if self._descriptor is not None and self._pid == os.getpid():
            with suppress(OSError):
                unlock(self._descriptor)
            with suppress(OSError):
                os.close(self._descriptor)
        self._descriptor = None

    def _load(self, descriptor: int) -> None:
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read()
        try:
            known = orjson.loads(content)
            self.instance, self.start_ns = known["instance"], known["start_ns"]
            self._last_ns, self._state = known["last_ns"], known["state"]
        except (ValueError, LookupError, TypeError):  # New, or a worker was killed while it wrote.
            self.instance, self.start_ns, self._last_ns, self._state = str(uuid.uuid4()), time.time_ns(), 0, []

    def _write(self, values: dict[str, object]) -> None:
        assert self._descriptor is not None
        content = orjson.dumps(values)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.truncate(self._descriptor, 0)
        while content:
            content = content[os.write(self._descriptor, content) :]


__all__ = ["MetricExport", "Turn"]
