"""The sink of finished lines: a bounded queue, and a thread that writes it."""

from __future__ import annotations

import asyncio
import atexit
import io
import logging
import os
import select
import stat
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Protocol

import anyio

from divan_obs_asgi.connection.record import current_record
from divan_obs_asgi.logs.last_resort import standard_error, wait_until_writable
from divan_obs_asgi.logs.placed import PlacedLine
from divan_obs_asgi.logs.prints import original_stream

# Lines; about 5 MB at half a kilobyte each.
QUEUE_SIZE = 10_000
# Seconds that a line of WARNING or above waits for room. Further lines do not wait until there was room again.
PATIENCE_S = 0.05
# Seconds that the writer waits for more lines, to write them together and to avoid a thread switch for each. A line of
# ERROR or above ends the wait.
_BATCH_PAUSE_S = 0.05
# Seconds without a line after which the writer thread ends; the next line starts another.
_IDLE_S = 10.0
# Seconds until a failed write is retried, at first and at most.
_RETRY_S = 0.05
_MAX_RETRY_S = 2.0
# Seconds that the end of the process waits for a stream that accepts nothing.
FLUSH_S = 5.0
_FORK_FLUSH_S = 1.0
# POSIX: a write of up to this size to a pipe is not mixed with writes of other processes. Workers share one pipe.
_PIPE_AT_ONCE = getattr(select, "PIPE_BUF", 512)
_LEVEL_NAMES = {1: "DEBUG", 2: "INFO", 3: "WARNING", 4: "ERROR", 5: "CRITICAL"}


class ByteStream(Protocol):
    """A stream that the sink can write to: `sys.stdout.buffer`, an open file, an `io.BytesIO`."""

    def write(self, data: bytes, /) -> object: ...

    def flush(self) -> object: ...


class Sink:
    """
    Accepts lines without blocking on the disk, the pipe or the terminal behind it.

    If the queue is full, a line below WARNING is dropped and counted. A line of WARNING or above waits for room, for at
    most 50 ms. The next lines do not wait until there was room again, so a burst cannot block an event loop for longer.
    Then they go to standard error, which has a queue and a thread of its own.

    Only that thread and the sink's thread write to a stream, because a write to a full pipe never returns.

    Data that a write did not accept is kept and retried, first after a short time, later every two seconds. Lines stay
    whole and in order.

    A child process that serves no requests may end at any moment without notice (`os._exit`). There `put` writes the
    line itself, as far as the stream accepts it without blocking, until a server calls `open`.

    Args:
        stream: default is standard output, looked up at each write (a test or a reload may replace it).
        dropped: called with the level's name for each lost line.
        failed: called with the exception of a failed write.
        form: returns the form of a line to write, called in the writing thread; None to write lines unchanged.

    Attributes:
        before_end: returns a callable to call before the last flush, or None; it may add lines.
        copies: called in the writing thread with the lines and with the bytes that it is about to write; for
            tests, and for the export by OTLP.
    """

    def __init__(
        self,
        stream: ByteStream | None,
        dropped: Callable[[str], None],
        failed: Callable[[Exception], None],
        size: int = QUEUE_SIZE,
        form: Callable[[bytes], bytes] | None = None,
    ) -> None:
        self._stream = stream
        self._dropped = dropped
        self._failed = failed
        self._size = size
        self._form = form
        self.before_end: Callable[[], Callable[[], object] | None] = _nothing
        self.copies: tuple[Callable[[list[bytes], bytes], object], ...] = ()
        self._reset(in_child=is_made_by_multiprocessing())
        _sinks.add(self)

    def _reset(self, *, in_child: bool) -> None:
        """Start as in a new process: without lines, without a thread, and with a new lock."""
        self._lines: deque[bytes] = deque()
        self._unwritten = b""
        # Reentrant: a signal handler may flush while its thread holds the lock.
        self._changed = threading.Condition(threading.RLock())
        self._thread: threading.Thread | None = None
        # Whether the writer will read the queue without a notification, and whether it has to do so at once.
        self._awake = False
        self._urgent = False
        # The id of the thread that is writing, or 0.
        self._writing = 0
        # The number of finished rounds of writing, and the last successful one.
        self._rounds = 0
        self._good_round = 0
        # Callers that wait for the end of a round now; flushes requested so far; and that number when the round began.
        self._waiting = 0
        self._flushes = 0
        self._flushes_seen = 0
        self._closing = False
        self._ending = False
        # Whether a line is written before `put` returns.
        self._synchronous = in_child
        self._idle_s = _IDLE_S
        # Whether a line has waited in vain since the stream last accepted data.
        self._waited_in_vain = False

    def put(self, line: bytes, level: int) -> None:
        """Queue one line (without its newline)."""
        lines = self._lines
        if len(lines) >= self._size and not self._found_room(line, level):
            return
        # A copy of exactly this size. orjson's buffers have a kilobyte, and keeping thousands of them costs 2 µs per
        # line for page faults.
        lines.append(line + b"\n" if type(line) is bytes else _ended(line))
        if self._synchronous:
            self._write_now()
        elif not self._awake or (level >= logging.ERROR and not self._urgent):
            self._urgent = level >= logging.ERROR
            self._wake()

    def flush(self, timeout_s: float = FLUSH_S) -> bool:
        """
        Write the queue; in this thread if the stream is in memory or no thread can be started.

        Returns:
            whether everything was written; False if the stream fails or takes longer.
        """
        with self._changed:
            if self._is_empty():
                return True
            if self.is_called_by_a_writer():
                return False  # The writer must not wait for itself.
            if (self._writing or not self._is_in_memory()) and self._wake():
                # The current round may have missed the last lines.
                awaited = self._rounds + (2 if self._writing else 1)
                self._flushes += 1
                self._waiting += 1
                self._changed.wait_for(lambda: self._rounds >= awaited or self._is_empty(), timeout_s)
                self._waiting -= 1
                return self._good_round >= awaited or self._is_empty()
            if self._writing:
                return False
            self._writing = threading.get_ident()
        return self._write_all(at_once=True)

    def open(self) -> None:
        """Let the thread wait for further lines until `close`, because a server runs in this process."""
        self._idle_s = _IDLE_S
        self._synchronous = self._ending

    def leave(self) -> None:
        """End the thread as soon as it has written the queue, because the sink is not used any more; do not wait."""
        self._idle_s = 0.0
        if self._changed.acquire(blocking=False):
            self._changed.notify_all()
            self._changed.release()

    def close(self, timeout_s: float = FLUSH_S) -> None:
        """Write the queue and end the thread. A later `put` starts a thread that ends when it has written the line."""
        self._idle_s = 0.0
        if not self.flush(timeout_s):
            return  # The thread keeps trying.
        with self._changed:
            thread, self._closing = self._thread, True
            self._changed.notify_all()
        if thread is not None:
            thread.join(timeout_s)

    def end(self, timeout_s: float = FLUSH_S) -> bool:
        """Write the queue, and from now on each line before `put` returns: the process may end at any moment."""
        before_end = self.before_end()
        if before_end is not None:
            before_end()
        self._ending = self._synchronous = True
        return self.flush(timeout_s)

    def _write_now(self) -> None:
        """Write the last line before the caller continues, if the stream accepts it in time."""
        if not self._ending:
            if current_record.get() is not None and _in_event_loop():
                # A forked worker that serves requests without a lifespan.
                self.open()
            elif self._wrote_at_once():
                return
        if not self._awake:
            self._wake()
        if self._synchronous and not self._waited_in_vain and (self._ending or not _in_event_loop()):
            self._waited_in_vain = not self.flush(PATIENCE_S)

    def _wrote_at_once(self) -> bool:
        """Write all lines in this thread, without blocking; return whether the stream accepted them."""
        if self._waited_in_vain or not (self._is_in_memory() or self._accepts_without_blocking()):
            return False
        with self._changed:
            if self._writing or self.is_called_by_a_writer():
                return False
            self._writing = threading.get_ident()
        return self._write_all(at_once=True, report=False)

    def _accepts_without_blocking(self) -> bool:
        raw = _raw(self._present_stream())
        return raw is not None and _descriptor(raw) is not None

    def _found_room(self, line: bytes, level: int) -> bool:
        """Wait for room, or write the line to standard error, or count it as lost."""
        if level >= logging.WARNING:
            if not self._waited_in_vain and not self.is_called_by_a_writer():
                with self._changed:
                    if self._changed.wait_for(lambda: len(self._lines) < self._size, PATIENCE_S):
                        return True
                    self._waited_in_vain = True
            if standard_error.put(line, partial(self.drop, level)):
                return False
        self.drop(level)
        return False

    def drop(self, level: int) -> None:
        """Count a lost line."""
        self._dropped(_LEVEL_NAMES[min(max(level // 10, 1), 5)])

    def _wake(self) -> bool:
        """Notify the writer of new lines; return whether there is a writer."""
        if sys.is_finalizing():
            # Threads no longer run. Up to Python 3.11 `start` would wait forever.
            return False
        with self._changed:
            if self._thread is None:
                self._closing = False
                self._thread = threading.Thread(target=self._run, name="divan-obs-log", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:
                    self._thread = None
                    return False
            self._awake = True
            self._changed.notify_all()
            return True

    # The writer's thread.

    def _run(self) -> None:
        retry_s = _RETRY_S
        while self._wait_for_lines():
            self._flushes_seen = self._flushes
            if self._write_round():
                retry_s = _RETRY_S
                continue
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._flushes > self._flushes_seen, retry_s)
            retry_s = min(2 * retry_s, _MAX_RETRY_S)
            if self._closing:
                break
        with self._changed:
            if self._thread is threading.current_thread():
                self._retire()

    def _wait_for_lines(self) -> bool:
        """
        Wait for lines, and a moment longer for more of them; return False if the thread has to end.

        While lines come, the thread reads them after each pause. Only after a pause without a line does it have to be
        notified, which costs the caller a thread switch.
        """
        with self._changed:
            self._awake = True
            self._changed.wait_for(self._is_hurried, _BATCH_PAUSE_S)
            while self._is_empty():
                # The order matters: the second check finds a line that came before it, a later line wakes this thread.
                self._awake = False
                if self._closing or (self._is_empty() and not self._changed.wait(self._idle_s) and self._is_empty()):
                    self._retire()
                    return False
                self._awake = True
                self._changed.wait_for(self._is_hurried, _BATCH_PAUSE_S)
            self._urgent = False
            return True

    def _is_hurried(self) -> bool:
        return bool(self._urgent or self._closing or self._ending or self._waiting or self._idle_s <= 0.0)

    def _retire(self) -> None:
        self._thread = None
        self._awake = False

    def _is_empty(self) -> bool:
        return not self._lines and not self._unwritten and not self._writing

    def is_called_by_a_writer(self) -> bool:
        """Return whether the caller is writing: a stream, or a failed write, may log and so call the sink."""
        return threading.get_ident() == self._writing or threading.current_thread() is self._thread

    def _write_round(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: not self._writing)
            self._writing = threading.get_ident()
        return self._write_all()

    def _write_all(self, *, at_once: bool = False, report: bool = True) -> bool:
        """
        Write the rest of an earlier round and the queue; return whether the stream accepted all of it.

        Args:
            at_once: fail if the stream would block.
            report: whether to report a failure; False if the writer thread retries.
        """
        good, failure = False, None
        try:
            if self._unwritten:
                self._write(at_once)
            self._take()
            self._write(at_once)
            good = True
        except Exception as error:
            failure = error
        finally:
            # Also after a KeyboardInterrupt. Without this, no thread would write again.
            with self._changed:
                self._writing = 0
                self._rounds += 1
                if good:
                    self._good_round = self._rounds
                    self._waited_in_vain = False
                self._changed.notify_all()
        if failure is not None:
            if report:
                self._failed(failure)
            failure = None  # Its traceback refers to this frame.
        return good

    def _take(self) -> None:
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        self._unwritten = b"".join(lines if self._form is None else map(self._form, lines))
        for copy in self.copies:
            copy(lines, self._unwritten)
        with self._changed:
            self._changed.notify_all()  # There is room.

    def _write(self, at_once: bool) -> None:
        if not self._unwritten:
            return
        stream = self._present_stream()
        raw = _raw(stream)
        if raw is not None:
            # Below the buffer: a buffer does not report how much of a failed write was written.
            descriptor = _descriptor(raw)
            if at_once and descriptor is not None and not stat.S_ISREG(os.fstat(descriptor).st_mode):
                self._write_in_pieces(partial(_write_at_once, descriptor), _PIPE_AT_ONCE)
                return
            if descriptor is not None:
                # A thread that blocks in `flush` holds the buffer's lock. Python needs it at its end, and would abort.
                wait_until_writable(descriptor)
            stream.flush()
            self._write_in_pieces(partial(_write_raw, raw), _PIPE_AT_ONCE if _is_pipe(raw) else len(self._unwritten))
        else:
            stream.write(self._unwritten)
            stream.flush()
            self._unwritten = b""

    def _present_stream(self) -> ByteStream:
        return self._stream if self._stream is not None else _standard_output()

    def _is_in_memory(self) -> bool:
        """Return whether a write surely cannot block. A custom object may block, and so may a network file."""
        stream = self._present_stream()
        target = original_stream(sys.stdout) if isinstance(stream, _TextOutput) else stream
        return isinstance(target, (io.BytesIO, io.StringIO))

    def _write_in_pieces(self, write: Callable[[memoryview], int], size: int) -> None:
        data, done = self._unwritten, 0
        view = memoryview(data)
        try:
            while done < len(data):
                done += write(view[done : _end_of_lines(data, done, size)])
        finally:
            self._unwritten = data[done:]


def _ended(line: bytes) -> bytes:
    return line.ended() if isinstance(line, PlacedLine) else line + b"\n"


def _write_raw(raw: io.RawIOBase, data: memoryview) -> int:
    written = raw.write(data)
    if written is None and not wait_until_writable(raw.fileno(), _MAX_RETRY_S):
        raise BlockingIOError("the stream is non-blocking and accepts no data")
    return written or 0


def _write_at_once(descriptor: int, data: memoryview) -> int:
    """Write as much as the stream accepts without blocking; raise BlockingIOError if it accepts nothing."""
    try:
        # A separate file description: if the shared one were non-blocking, other processes would be affected.
        own = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:
        # A socket, the pipe of another user, or another system than Linux. POSIX: a pipe that is ready for writing
        # accepts at least PIPE_BUF bytes. If it is shared, another process may be faster.
        if os.isatty(descriptor) or not wait_until_writable(descriptor, 0.0):
            raise BlockingIOError("the stream accepts no data") from None
        return os.write(descriptor, data[:_PIPE_AT_ONCE])
    try:
        return os.write(own, data)
    finally:
        os.close(own)


def _raw(stream: object) -> io.RawIOBase | None:
    """Return the raw file below the buffer of a stream; None if the stream is not a file."""
    raw = stream if isinstance(stream, io.RawIOBase) else getattr(stream, "raw", None)
    return raw if isinstance(raw, io.RawIOBase) else None


def _descriptor(raw: io.RawIOBase) -> int | None:
    try:
        return raw.fileno()
    except OSError:
        return None


def _is_pipe(raw: io.RawIOBase) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(raw.fileno()).st_mode)
    except (OSError, ValueError):
        return False


def _end_of_lines(data: bytes, start: int, at_once: int) -> int:
    """Return the end of the last line, from `start` on, that fits in `at_once` bytes; at least the end of one line."""
    if len(data) - start <= at_once:
        return len(data)
    return data.rfind(b"\n", start, start + at_once) + 1 or data.find(b"\n", start) + 1


class _TextOutput:
    """Writes text to a replacement of standard output that has no `buffer`, as that of `contextlib.redirect_stdout`."""

    def write(self, data: bytes, /) -> object:
        return original_stream(sys.stdout).write(data.decode())

    def flush(self) -> object:
        return original_stream(sys.stdout).flush()


def _in_event_loop() -> bool:
    """Return whether this code runs in an event loop of asyncio or Trio."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        try:
            anyio.get_cancelled_exc_class()
        except Exception:  # An exception of anyio from 4.12 on, of sniffio before.
            return False
    return True


def is_made_by_multiprocessing() -> bool:
    """Return whether `multiprocessing` created this process, by spawn or before this module was loaded."""
    process = sys.modules.get("multiprocessing.process")
    if process is None:
        return False
    # `_inheriting` is true while a child loads its main module and its target function.
    return process.parent_process() is not None or getattr(process.current_process(), "_inheriting", False)


def _nothing() -> None:
    """Return None: there is nothing to call before the end."""


def _standard_output() -> ByteStream:
    return getattr(original_stream(sys.stdout), "buffer", None) or _TextOutput()


# Weak, so that the hooks below keep no sink alive: Python cannot unregister them.
_sinks: weakref.WeakSet[Sink] = weakref.WeakSet()


def end_all(timeout_s: float = FLUSH_S) -> None:
    """Write the queues of all sinks of this process, because the process ends."""
    deadline = monotonic() + timeout_s
    for sink in list(_sinks):
        sink.end(max(0.0, deadline - monotonic()))
    standard_error.flush(max(0.0, deadline - monotonic()))


def _flush_before_fork() -> None:
    deadline = monotonic() + _FORK_FLUSH_S
    for sink in list(_sinks):
        sink.flush(max(0.0, deadline - monotonic()))


def _forget_parent() -> None:
    """Reset the sinks of a forked child: it inherits no threads, and must not write its parent's lines again."""
    for sink in list(_sinks):
        sink._reset(in_child=True)


atexit.register(end_all)
os.register_at_fork(before=_flush_before_fork, after_in_child=_forget_parent)

__all__ = ["FLUSH_S", "PATIENCE_S", "QUEUE_SIZE", "ByteStream", "Sink", "end_all", "is_made_by_multiprocessing"]
