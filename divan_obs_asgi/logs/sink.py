"""Where finished lines go: a bounded queue, and a thread that writes it out."""

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
from divan_obs_asgi.logs.prints import beneath

# Lines; at half a kilobyte each about 5 MB.
QUEUE_SIZE = 10_000
# Seconds that a line of WARNING or above waits for room, once for all lines until there is some.
PATIENCE_S = 0.05
# Seconds that the writer waits for company: one write for many lines, and no thread switch for each.
_BATCH_PAUSE_S = 0.02
# Seconds without a line after which the writer ends; the next line starts another.
_IDLE_S = 10.0
# Seconds until a write that failed is tried again, at first and at most.
_RETRY_S = 0.05
_MAX_RETRY_S = 2.0
# Seconds that whoever ends the process waits for a stream that takes nothing.
FLUSH_S = 5.0
_FORK_FLUSH_S = 1.0
# POSIX: so much is written to a pipe in one piece, whoever else writes to it. The workers of a server share one.
_PIPE_AT_ONCE = getattr(select, "PIPE_BUF", 512)
_LEVEL_NAMES = {1: "DEBUG", 2: "INFO", 3: "WARNING", 4: "ERROR", 5: "CRITICAL"}


class ByteStream(Protocol):
    """What the sink writes to: `sys.stdout.buffer`, an open file, an `io.BytesIO`."""

    def write(self, data: bytes, /) -> object: ...

    def flush(self) -> object: ...


class Sink:
    """
    Takes lines without waiting for the disk, the pipe or the terminal behind it.

    When the queue is full, a line below WARNING is dropped and counted. One of WARNING or above waits for room, for
    50 ms at most; the next ones do not wait again until there was room, so that a burst cannot hold up an event loop
    for longer. Then they go to standard error, which has a queue and a thread of its own.

    Only that thread and the sink's own write to a stream: where it is a full pipe, a write never returns.

    What a write did not take is kept and tried again, sooner first and then every two seconds; its lines stay
    whole and in order.

    A child process that serves nobody may end at any moment and without notice (`os._exit`). There `put` writes the
    line itself, as far as the stream takes it without blocking, until a server calls `open`.

    Args:
        stream: default is standard output, looked up at each write (a test or a reload may replace it).
        dropped: called with the level's name for each line that is lost.
        failed: called with the exception of a failed write.
        form: makes of a line what is written in its place, in the thread that writes; None for the line as it is.

    Attributes:
        last_words: returns what is called before the last flush, or None; it may add lines.
        copies: called in the thread that writes, with the lines that it is about to write and with what it writes;
            for tests.
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
        self.last_words: Callable[[], Callable[[], object] | None] = _nothing
        self.copies: tuple[Callable[[list[bytes], bytes], object], ...] = ()
        self._reset(in_child=is_made_by_multiprocessing())
        _sinks.add(self)

    def _reset(self, *, in_child: bool) -> None:
        """Begin with nothing, as in a new process: no lines, no thread, and no lock that somebody holds."""
        self._lines: deque[bytes] = deque()
        self._unwritten = b""
        # Reentrant: a signal handler may flush while its own thread is in here.
        self._changed = threading.Condition(threading.RLock())
        self._thread: threading.Thread | None = None
        # Whether the writer will look at the queue without being told.
        self._awake = False
        # The thread that writes at this moment, 0 for none.
        self._writing = 0
        # Rounds of writing that have ended, and the last of them that ended well.
        self._rounds = 0
        self._good_round = 0
        # Callers that wait for the end of a round: now, ever, and when the present round began.
        self._waiting = 0
        self._asked = 0
        self._heard = 0
        self._closing = False
        self._ending = False
        # Whether a line is to be written before `put` returns.
        self._prompt = in_child
        self._idle_s = _IDLE_S
        # Whether a line has waited in vain since the stream last took something.
        self._impatient = False

    def put(self, line: bytes, level: int) -> None:
        """Queue one line (without its newline)."""
        lines = self._lines
        if len(lines) >= self._size and not self._found_room(line, level):
            return
        # A copy of just this size. orjson's buffers are of a kilobyte, and to keep thousands of them costs 2 µs a line
        # in page faults.
        lines.append(line + b"\n")
        if self._prompt:
            self._hurry()
        elif not self._awake:
            self._wake()

    def flush(self, timeout_s: float = FLUSH_S) -> bool:
        """
        Have everything written that is queued; by this thread where the stream is in memory, or no thread can start.

        Returns:
            whether it was; False where the stream fails or takes longer.
        """
        with self._changed:
            if self._is_empty():
                return True
            if self.is_called_by_a_writer():
                return False  # It waits for nobody, least of all for itself.
            if (self._writing or not self._is_in_memory()) and self._wake():
                # The round that is under way may have missed the last lines.
                awaited = self._rounds + (2 if self._writing else 1)
                self._asked += 1
                self._waiting += 1
                self._changed.wait_for(lambda: self._rounds >= awaited or self._is_empty(), timeout_s)
                self._waiting -= 1
                return self._good_round >= awaited or self._is_empty()
            if self._writing:
                return False
            self._writing = threading.get_ident()
        return self._write_all(at_once=True)

    def open(self) -> None:
        """A server runs here: have the thread wait for further lines; so it does until `close`."""
        self._idle_s = _IDLE_S
        self._prompt = self._ending

    def leave(self) -> None:
        """Nobody needs the sink any more: its thread ends when it has written. Waits for nothing."""
        self._idle_s = 0.0
        if self._changed.acquire(blocking=False):
            self._changed.notify_all()
            self._changed.release()

    def close(self, timeout_s: float = FLUSH_S) -> None:
        """Write everything that is queued and end the thread; a later `put` starts one that does just that."""
        self._idle_s = 0.0
        if not self.flush(timeout_s):
            return  # The thread goes on trying.
        with self._changed:
            thread, self._closing = self._thread, True
            self._changed.notify_all()
        if thread is not None:
            thread.join(timeout_s)

    def end(self, timeout_s: float = FLUSH_S) -> bool:
        """The process may end at any moment: write what is queued, and from here on each line before `put` returns."""
        last_words = self.last_words()
        if last_words is not None:
            last_words()
        self._ending = self._prompt = True
        return self.flush(timeout_s)

    def _hurry(self) -> None:
        """Have the last line written before the caller goes on, as far as the stream takes it in time."""
        if not self._ending:
            if current_record.get() is not None and _in_event_loop():
                # A worker that was forked, and serves without a lifespan.
                self.open()
            elif self._wrote_at_once():
                return
        if not self._awake:
            self._wake()
        if self._prompt and not self._impatient and (self._ending or not _in_event_loop()):
            self._impatient = not self.flush(PATIENCE_S)

    def _wrote_at_once(self) -> bool:
        """Write all lines in this thread, without blocking; return whether the stream took them."""
        if self._impatient or not (self._is_in_memory() or self._takes_without_blocking()):
            return False
        with self._changed:
            if self._writing or self.is_called_by_a_writer():
                return False
            self._writing = threading.get_ident()
        return self._write_all(at_once=True, told=False)

    def _takes_without_blocking(self) -> bool:
        raw = _raw(self._present_stream())
        return raw is not None and _descriptor(raw) is not None

    def _found_room(self, line: bytes, level: int) -> bool:
        """Wait for room, or find another way for the line, or count it."""
        if level >= logging.WARNING:
            if not self._impatient and not self.is_called_by_a_writer():
                with self._changed:
                    if self._changed.wait_for(lambda: len(self._lines) < self._size, PATIENCE_S):
                        return True
                    self._impatient = True
            if standard_error.put(line, partial(self.drop, level)):
                return False
        self.drop(level)
        return False

    def drop(self, level: int) -> None:
        """Count a line that is lost."""
        self._dropped(_LEVEL_NAMES[min(max(level // 10, 1), 5)])

    def _wake(self) -> bool:
        """Have the writer look at the queue; return whether there is one."""
        if sys.is_finalizing():
            # No thread runs any more, and up to Python 3.11 `start` would wait for a new one for ever.
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
        while self._lines_came():
            self._heard = self._asked
            if self._write_round():
                retry_s = _RETRY_S
                continue
            with self._changed:
                self._changed.wait_for(lambda: self._closing or self._asked > self._heard, retry_s)
            retry_s = min(2 * retry_s, _MAX_RETRY_S)
            if self._closing:
                break
        with self._changed:
            if self._thread is threading.current_thread():
                self._retire()

    def _lines_came(self) -> bool:
        """Wait for lines, and a moment more for others; return False where it is time to end."""
        with self._changed:
            while self._is_empty():
                # In this order: a line that came before the second look is seen by it, a later one wakes us.
                self._awake = False
                if self._closing or (self._is_empty() and not self._changed.wait(self._idle_s) and self._is_empty()):
                    self._retire()
                    return False
            self._awake = True
            self._changed.wait_for(lambda: self._closing or self._ending or self._waiting, _BATCH_PAUSE_S)
            return True

    def _retire(self) -> None:
        self._thread = None
        self._awake = False

    def _is_empty(self) -> bool:
        return not self._lines and not self._unwritten and not self._writing

    def is_called_by_a_writer(self) -> bool:
        """What a stream or a failed write logs about itself comes back to the sink, from within."""
        return threading.get_ident() == self._writing or threading.current_thread() is self._thread

    def _write_round(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: not self._writing)
            self._writing = threading.get_ident()
        return self._write_all()

    def _write_all(self, *, at_once: bool = False, told: bool = True) -> bool:
        """
        Write what an earlier round has left, and what is queued; return whether all of it was taken.

        Args:
            at_once: fail where the stream would block.
            told: whether a failure is reported; not where the writer tries again.
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
            # Also after a KeyboardInterrupt, or nobody would ever write again.
            with self._changed:
                self._writing = 0
                self._rounds += 1
                if good:
                    self._good_round = self._rounds
                    self._impatient = False
                self._changed.notify_all()
        if failure is not None:
            if told:
                self._failed(failure)
            failure = None  # Its traceback holds this frame.
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
            # Below the buffer, which does not tell how much of a failed write has left.
            descriptor = _descriptor(raw)
            if at_once and descriptor is not None and not stat.S_ISREG(os.fstat(descriptor).st_mode):
                self._write_in_pieces(partial(_write_at_once, descriptor), _PIPE_AT_ONCE)
                return
            if descriptor is not None:
                # Whoever blocks in `flush` holds the buffer's lock, and Python aborts where it needs that at its end.
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
        """Return whether a write cannot block; of a custom object nobody knows, nor of a file on a network."""
        stream = self._present_stream()
        return isinstance(beneath(sys.stdout) if isinstance(stream, _TextOutput) else stream, (io.BytesIO, io.StringIO))

    def _write_in_pieces(self, write: Callable[[memoryview], int], size: int) -> None:
        data, done = self._unwritten, 0
        view = memoryview(data)
        try:
            while done < len(data):
                done += write(view[done : _end_of_lines(data, done, size)])
        finally:
            self._unwritten = data[done:]


def _write_raw(raw: io.RawIOBase, data: memoryview) -> int:
    written = raw.write(data)
    if written is None and not wait_until_writable(raw.fileno(), _MAX_RETRY_S):
        raise BlockingIOError("the stream does not block, and takes nothing")
    return written or 0


def _write_at_once(descriptor: int, data: memoryview) -> int:
    """Write what the stream takes without blocking; BlockingIOError where that is nothing."""
    try:
        # A description of its own: to make the shared one non-blocking would surprise other processes.
        own = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:
        # A socket, another user's pipe, another system than Linux. POSIX: a pipe that is ready for writing takes at
        # least PIPE_BUF bytes; where it is shared, another process may be quicker.
        if os.isatty(descriptor) or not wait_until_writable(descriptor, 0.0):
            raise BlockingIOError("the stream takes nothing") from None
        return os.write(descriptor, data[:_PIPE_AT_ONCE])
    try:
        return os.write(own, data)
    finally:
        os.close(own)


def _raw(stream: object) -> io.RawIOBase | None:
    """Return what is below the buffer of a stream, None where it is no file."""
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
    """Return where the last line ends that begins at `start` or later and fits in `at_once`; one at least."""
    if len(data) - start <= at_once:
        return len(data)
    return data.rfind(b"\n", start, start + at_once) + 1 or data.find(b"\n", start) + 1


class _TextOutput:
    """What `contextlib.redirect_stdout` puts in the place of standard output may take text only."""

    def write(self, data: bytes, /) -> object:
        return beneath(sys.stdout).write(data.decode())

    def flush(self) -> object:
        return beneath(sys.stdout).flush()


def _in_event_loop() -> bool:
    """Return whether an event loop, asyncio's or Trio's, runs this code."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        try:
            anyio.get_cancelled_exc_class()
        except Exception:  # anyio's own from 4.12 on, sniffio's before.
            return False
    return True


def is_made_by_multiprocessing() -> bool:
    """Return whether `multiprocessing` has made this process: by spawn, or before it has loaded this module."""
    process = sys.modules.get("multiprocessing.process")
    if process is None:
        return False
    # The second is so while a child loads its main module and what it is to do.
    return process.parent_process() is not None or getattr(process.current_process(), "_inheriting", False)


def _nothing() -> None:
    """Return that there are no last words."""


def _standard_output() -> ByteStream:
    return getattr(beneath(sys.stdout), "buffer", None) or _TextOutput()


# Only so that the hooks below, which Python cannot unregister, keep no sink alive.
_sinks: weakref.WeakSet[Sink] = weakref.WeakSet()


def end_all(timeout_s: float = FLUSH_S) -> None:
    """Have all sinks of this process write what they have, as its end is near."""
    deadline = monotonic() + timeout_s
    for sink in list(_sinks):
        sink.end(max(0.0, deadline - monotonic()))
    standard_error.flush(max(0.0, deadline - monotonic()))


def _flush_before_fork() -> None:
    deadline = monotonic() + _FORK_FLUSH_S
    for sink in list(_sinks):
        sink.flush(max(0.0, deadline - monotonic()))


def _forget_parent() -> None:
    """A forked worker inherits the objects but no threads, and must not write its parent's lines again."""
    for sink in list(_sinks):
        sink._reset(in_child=True)


atexit.register(end_all)
os.register_at_fork(before=_flush_before_fork, after_in_child=_forget_parent)

__all__ = ["FLUSH_S", "PATIENCE_S", "QUEUE_SIZE", "ByteStream", "Sink", "end_all", "is_made_by_multiprocessing"]
