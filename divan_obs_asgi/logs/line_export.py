"""Exports by OTLP the lines that the sink writes. Requires the extra `tracing`."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from divan_obs_asgi.logs.sink import Sink
from divan_obs_asgi.otlp.exports import shut_down_at_exit
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
        queue.finish_with(self)
        shut_down_at_exit(self)

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


__all__ = ["LineExport"]
