"""Exports by OTLP the lines that the sink writes. Requires the extra `tracing`."""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Callable

from divan_obs_asgi.logs.sink import Sink
from divan_obs_asgi.otlp.queue import BatchQueue

# Where the field `level` begins in a log line. The sink also writes spans, for OTEL_TRACES_EXPORTER=console.
_LEVEL, _LEVEL_AT = b'"level":', len('{"ts":"2026-01-01T00:00:00.000000Z",')


class LineExport:
    """
    Queues each line that the sink is about to write, in the sink's thread. Requests do nothing for it.

    Args:
        load: imports the exporter.
    """

    def __init__(self, sink: Sink, queue: BatchQueue[bytes], load: Callable[[], object]) -> None:
        self._sink = weakref.ref(sink)
        self._queue = queue
        self.prepare = load
        # Not a method of this object, which the sink would keep alive.
        sink.copies = (*sink.copies, _Copy(queue))
        _exports.add(self)
        weakref.finalize(self, _abandon, weakref.ref(queue)).atexit = False

    def flush(self) -> None:
        """Write the sink's queue, and export it."""
        sink = self._sink()
        if sink is not None:
            sink.flush()
        self._queue.force_flush()

    def pause(self) -> None:
        """Export, and end the thread; the next line starts it again."""
        self._queue.pause()

    def shutdown(self) -> None:
        """Export the last lines, because the process ends; further ones are counted as dropped."""
        sink = self._sink()
        if sink is not None:
            sink.end()
        self._queue.shutdown()


class _Copy:
    """Puts lines into the queue of the export."""

    def __init__(self, queue: BatchQueue[bytes]) -> None:
        self._put = queue.put

    def __call__(self, lines: list[bytes], written: bytes) -> None:
        put = self._put
        for line in lines:
            if line.startswith(_LEVEL, _LEVEL_AT):
                put(line)


def _abandon(queue: weakref.ref[BatchQueue[bytes]]) -> None:
    left = queue()
    if left is not None:
        left.finish_in_background()


def _shut_down_all() -> None:
    for export in list(_exports):
        export.shutdown()


_exports: weakref.WeakSet[LineExport] = weakref.WeakSet()
# Before the sinks end, because functions that are registered later run earlier.
atexit.register(_shut_down_all)

__all__ = ["LineExport"]
