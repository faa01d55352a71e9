"""Where finished lines go: a bounded queue, and a thread that writes it out."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Protocol

# Lines; at half a kilobyte each about 5 MB.
QUEUE_SIZE = 10_000
# Seconds that the writer waits for company: one write for many lines, and no thread switch for each.
_BATCH_PAUSE_S = 0.02
# Seconds between looks at the queue when nobody has woken the writer.
_IDLE_S = 1.0


class ByteStream(Protocol):
    """What the sink writes to: `sys.stdout.buffer`, an open file, an `io.BytesIO`."""

    def write(self, data: bytes, /) -> object: ...

    def flush(self) -> object: ...


class Sink:
    """
    Takes lines without ever waiting for the disk, the pipe or the terminal behind it.

    When the queue is full a line is dropped and counted. A write that fails is reported, its lines are lost and
    the service goes on.

    Args:
        stream: default is standard output, looked up at each batch (a test or a reload may replace it).
        dropped: called with the level's name for each line that the full queue did not take.
        failed: called with the exception of a failed write.
    """

    def __init__(
        self,
        stream: ByteStream | None,
        dropped: Callable[[str], None],
        failed: Callable[[Exception], None],
        size: int = QUEUE_SIZE,
    ) -> None:
        self._stream = stream
        self._dropped = dropped
        self._failed = failed
        self._size = size
        self._lines: deque[bytes] = deque()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._writing = threading.Lock()
        self._start = threading.Lock()
        self._thread: threading.Thread | None = None
        _sinks.add(self)

    def put(self, line: bytes, level: str) -> None:
        """Queue one line (without its newline)."""
        if len(self._lines) >= self._size:
            self._dropped(level)
            return
        self._lines.append(line)
        if not self._wake.is_set():
            self._wake.set()
        if self._thread is None:
            self._start_writer()

    def flush(self) -> None:
        """Write everything that is queued, in the calling thread."""
        with self._writing:
            self._write_all()

    def close(self) -> None:
        """Write everything that is queued and end the thread; a later `put` starts a new one."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._closing.set()
            self._wake.set()
            thread.join(timeout=5.0)
        self.flush()

    def _start_writer(self) -> None:
        with self._start:
            if self._thread is None:
                self._closing = threading.Event()
                self._thread = threading.Thread(
                    target=self._run, args=(self._closing,), name="divan-obs-log", daemon=True
                )
                self._thread.start()

    def _run(self, closing: threading.Event) -> None:
        while not closing.is_set():
            self._wake.wait(_IDLE_S)
            closing.wait(_BATCH_PAUSE_S)
            self._wake.clear()
            self.flush()

    def _write_all(self) -> None:
        batch = []
        while self._lines:
            batch.append(self._lines.popleft())
        if not batch:
            return
        batch.append(b"")
        try:
            stream = self._stream if self._stream is not None else _standard_output()
            stream.write(b"\n".join(batch))
            stream.flush()
        except Exception as error:
            self._failed(error)

    def _forget_parent(self) -> None:
        """A forked worker inherits the object but not its thread, and must not write its parent's lines again."""
        self._lines = deque()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._writing = threading.Lock()
        self._start = threading.Lock()
        self._thread = None


class _TextOutput:
    """What `contextlib.redirect_stdout` puts in the place of standard output may take text only."""

    def write(self, data: bytes, /) -> object:
        return sys.stdout.write(data.decode())

    def flush(self) -> object:
        return sys.stdout.flush()


def _standard_output() -> ByteStream:
    return getattr(sys.stdout, "buffer", None) or _TextOutput()


# Only so that the hooks below, which Python cannot unregister, keep no sink alive.
_sinks: weakref.WeakSet[Sink] = weakref.WeakSet()


def _flush_all() -> None:
    for sink in list(_sinks):
        sink.flush()


def _forget_parents() -> None:
    for sink in list(_sinks):
        sink._forget_parent()


atexit.register(_flush_all)
os.register_at_fork(before=_flush_all, after_in_child=_forget_parents)

__all__ = ["QUEUE_SIZE", "ByteStream", "Sink"]
