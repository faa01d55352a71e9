"""The sink: it never makes the caller wait, loses nothing that fits, and says what it could not keep."""

from __future__ import annotations

import errno
import io
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from divan_obs_asgi.logs import ByteStream, Sink
from divan_obs_asgi.logs import sink as sink_module
from divan_obs_asgi.logs.last_resort import standard_error
from tests.patience import PATIENCE_S


class Slow:
    """A stream whose first write blocks until it is released: a pipe without a reader, a full disk."""

    def __init__(self, hold_s: float = PATIENCE_S) -> None:
        self.hold_s = hold_s
        self.entered = threading.Event()
        self.let_go = threading.Event()
        self.data = b""
        self.arrived = threading.Condition()

    def write(self, data: bytes, /) -> None:
        if not self.entered.is_set():
            self.entered.set()
            self.let_go.wait(self.hold_s)
        with self.arrived:
            self.data += data
            self.arrived.notify_all()

    def flush(self) -> None: ...

    def waits_for(self, line: bytes) -> bool:
        """Return whether the line arrives; the wait is limited, because the line may be lost."""
        with self.arrived:
            return self.arrived.wait_for(lambda: line in self.data, 2.0)


class Broken:
    """A stream of which nothing is left."""

    def __init__(self) -> None:
        self.mended = False
        self.data = b""
        self.arrived = threading.Event()

    def write(self, data: bytes, /) -> None:
        if not self.mended:
            raise BrokenPipeError("nobody reads")
        self.data += data
        self.arrived.set()

    def flush(self) -> None: ...


class Kept:
    """A sink, what it dropped and how it failed."""

    def __init__(self, stream: ByteStream | None, size: int = 100) -> None:
        self.dropped: list[str] = []
        self.failures: list[Exception] = []
        self.sink = Sink(stream, self.dropped.append, self.failures.append, size)


@pytest.fixture
def slow() -> Iterator[Slow]:
    stream = Slow()
    yield stream
    stream.let_go.set()


def test_lines_are_written_in_order_one_each() -> None:
    """Each with its newline."""
    stream = io.BytesIO()
    kept = Kept(stream)
    for number in range(5):
        kept.sink.put(b"%d" % number, logging.INFO)
    kept.sink.flush()
    assert stream.getvalue() == b"0\n1\n2\n3\n4\n"


def test_nothing_queued_writes_nothing() -> None:
    """Not even an empty line."""
    stream = io.BytesIO()
    kept = Kept(stream)
    kept.sink.flush()
    kept.sink.close()
    assert stream.getvalue() == b""


def test_lines_are_written_without_being_asked(slow: Slow) -> None:
    """A thread of the sink's own does it."""
    slow.let_go.set()
    kept = Kept(slow)
    kept.sink.put(b"hello", logging.INFO)
    assert slow.waits_for(b"hello\n")
    kept.sink.close()


def test_an_error_ends_the_wait_for_more_lines(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer waits for more INFO lines, to write them together; an ERROR line brings all of them out at once."""
    monkeypatch.setattr(sink_module, "_BATCH_PAUSE_S", PATIENCE_S * 10)
    kept = Kept(slow)
    kept.sink.put(b"info", logging.INFO)
    assert not slow.entered.is_set()
    kept.sink.put(b"error", logging.ERROR)
    assert slow.entered.wait(PATIENCE_S)


def test_a_line_wakes_no_writer_that_reads_anyway(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the first line after a pause without lines does: a notification costs its caller a thread switch."""
    monkeypatch.setattr(sink_module, "_BATCH_PAUSE_S", PATIENCE_S * 10)
    kept, woken = Kept(Slow()), 0
    wake = kept.sink._wake

    def count() -> bool:
        nonlocal woken
        woken += 1
        return wake()

    monkeypatch.setattr(kept.sink, "_wake", count)
    for _ in range(20):
        kept.sink.put(b"info", logging.INFO)
    assert woken == 1


def test_the_caller_does_not_wait_for_the_stream(slow: Slow) -> None:
    """While a write is under way, lines are taken; they are written when it is done."""
    kept = Kept(slow)
    kept.sink.put(b"first", logging.INFO)
    assert slow.entered.wait(PATIENCE_S)
    for number in range(50):
        kept.sink.put(b"%d" % number, logging.INFO)
    assert slow.data == b""
    slow.let_go.set()
    assert slow.waits_for(b"49\n")
    kept.sink.close()
    assert slow.data == b"first\n" + b"".join(b"%d\n" % number for number in range(50))
    assert kept.dropped == []


def test_a_full_queue_drops_the_newest_and_counts_it(slow: Slow) -> None:
    """Memory is bounded; what was taken is kept."""
    kept = Kept(slow, size=3)
    kept.sink.put(b"under way", logging.INFO)
    assert slow.entered.wait(PATIENCE_S)
    for number, level in enumerate([20, 20, 20, 10, 20]):
        kept.sink.put(b"%d" % number, level)
    assert kept.dropped == ["DEBUG", "INFO"]
    slow.let_go.set()
    assert slow.waits_for(b"2\n")
    kept.sink.close()
    assert slow.data == b"under way\n0\n1\n2\n"


def test_there_is_room_again_after_a_write() -> None:
    """The sink recovers from a full queue."""
    stream = io.BytesIO()
    kept = Kept(stream, size=1)
    for _ in range(3):
        kept.sink.put(b"line", logging.INFO)
        kept.sink.flush()
    assert (stream.getvalue(), kept.dropped) == (b"line\n" * 3, [])


def test_a_write_that_fails_is_counted_and_tried_again() -> None:
    """A full disk, a broken pipe: the lines are kept until it is mended, in order."""
    stream = Broken()
    kept = Kept(stream)
    kept.sink.put(b"first", logging.INFO)
    assert kept.sink.flush() is False
    assert {type(error) for error in kept.failures} == {BrokenPipeError}
    stream.mended = True
    kept.sink.put(b"second", logging.INFO)
    assert kept.sink.flush() is True
    assert stream.data == b"first\nsecond\n"


def test_a_stream_that_is_mended_is_found_without_being_asked() -> None:
    """The writer tries again by itself."""
    stream = Broken()
    kept = Kept(stream)
    kept.sink.put(b"line", logging.INFO)
    kept.sink.flush()
    stream.mended = True
    assert stream.arrived.wait(PATIENCE_S)
    assert stream.data == b"line\n"


def test_a_broken_stream_is_tried_at_a_measured_pace() -> None:
    """A service whose disk is full has better things to do."""
    stream = Broken()
    kept = Kept(stream)
    kept.sink.put(b"line", logging.INFO)
    for _ in range(3):
        kept.sink.flush()
    kept.sink.close()
    assert 3 <= len(kept.failures) < 10


def test_memory_is_bounded_while_a_stream_is_broken() -> None:
    """What waits for another attempt, and one queue of lines behind it."""
    stream = Broken()
    kept = Kept(stream, size=10)
    for number in range(1000):
        kept.sink.put(b"%d" % number, logging.INFO)
        if number % 100 == 0:
            kept.sink.flush()
    assert len(kept.dropped) >= 980
    stream.mended = True
    assert kept.sink.flush() is True
    assert len(stream.data.splitlines()) + len(kept.dropped) == 1000


def test_a_closed_stream_is_reported() -> None:
    """ValueError and not OSError is what Python raises there."""
    stream = io.BytesIO()
    stream.close()
    kept = Kept(stream)
    kept.sink.put(b"lost", logging.INFO)
    assert kept.sink.flush() is False
    assert {type(error) for error in kept.failures} == {ValueError}


class Part(io.RawIOBase):
    """A file that takes a few bytes at a time, and none where it is full."""

    def __init__(self, at_once: int, room: int) -> None:
        self.at_once = at_once
        self.room = room
        self.data = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        taken = bytes(data[: min(self.at_once, self.room)])
        if not taken:
            raise OSError(errno.ENOSPC, "no space left on device")
        self.room -= len(taken)
        self.data += taken
        return len(taken)


@given(st.lists(st.binary(min_size=1, max_size=20).filter(lambda line: b"\n" not in line)), st.integers(1, 7))
def test_a_write_that_is_taken_in_parts_is_finished(lines: list[bytes], at_once: int) -> None:
    """An unbuffered standard output, a signal during a write."""
    stream = Part(at_once, 10_000)
    kept = Kept(stream)
    for line in lines:
        kept.sink.put(line, logging.INFO)
    assert kept.sink.flush() is True
    assert stream.data == b"".join(line + b"\n" for line in lines)
    kept.sink.close()


def test_a_disk_that_is_full_in_mid_line_goes_on_there() -> None:
    """No line is written twice, none has a gap; also below the buffer of a file that the application opened."""
    part = Part(1000, 8)
    for stream in (part, io.BufferedWriter(part)):
        part.data, part.room = b"", 8
        kept = Kept(stream)
        for number in range(4):
            kept.sink.put(b"line %d" % number, logging.INFO)
        assert kept.sink.flush() is False
        assert part.data == b"line 0\nl"
        part.room = 1000
        assert kept.sink.flush() is True
        assert part.data == b"line 0\nline 1\nline 2\nline 3\n"
        kept.sink.close()


def test_earlier_prints_come_first() -> None:
    """The sink writes below the buffer of standard output, and empties it first."""
    out = run("s = sink()\nsys.stdout.buffer.write(b'printed\\n')\ns.put(b'logged', logging.INFO)\ns.flush()")
    assert out == "printed\nlogged\n"


def test_a_pipe_that_does_not_block_is_waited_for() -> None:
    """A parent may have made it so; the writer has time."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with open(reader, "rb") as incoming, open(writer, "wb", buffering=0) as outgoing:
        kept = Kept(outgoing)
        line = b"x" * 1000
        for _ in range(100):  # More than a pipe holds.
            kept.sink.put(line, logging.INFO)
        received = [incoming.readline() for _ in range(100)]
        assert received == [line + b"\n"] * 100
        assert kept.sink.flush() is True
        kept.sink.close()
    assert kept.failures == []


# A full queue.


def full(slow: Slow, size: int = 3) -> Kept:
    """Return a sink whose writer is held up, and whose queue takes no more."""
    kept = Kept(slow, size=size)
    kept.sink.put(b"under way", logging.INFO)
    assert slow.entered.wait(PATIENCE_S)
    for number in range(size):
        kept.sink.put(b"%d" % number, logging.INFO)
    return kept


def test_a_warning_that_finds_no_room_goes_to_standard_error(slow: Slow, capfd: pytest.CaptureFixture[str]) -> None:
    """And is not counted as lost, because it is not."""
    kept = full(slow)
    kept.sink.put(b"warning", logging.WARNING)
    kept.sink.put(b"error", logging.ERROR)
    kept.sink.put(b"info", logging.INFO)
    assert standard_error.flush(PATIENCE_S)
    assert capfd.readouterr().err == "warning\nerror\n"
    assert kept.dropped == ["INFO"]


def test_a_burst_of_warnings_waits_once(slow: Slow, capfd: pytest.CaptureFixture[str]) -> None:
    """The event loop is held up for 50 ms and not for 50 ms times a thousand."""
    kept = full(slow)
    started = time.perf_counter()
    for _ in range(1000):
        kept.sink.put(b"warning", logging.WARNING)
    assert time.perf_counter() - started < 500 * sink_module.PATIENCE_S
    assert standard_error.flush(PATIENCE_S)
    assert capfd.readouterr().err == "warning\n" * 1000


def test_after_the_stream_took_something_warnings_wait_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A warning that waits for room for a short time is written with the others."""
    monkeypatch.setattr(sink_module, "PATIENCE_S", PATIENCE_S)  # On a busy machine soon may be late.
    slow = Slow(hold_s=0.01)
    kept = full(slow)
    kept.sink.put(b"warning", logging.WARNING)
    kept.sink.close()
    assert slow.data == b"under way\n0\n1\n2\nwarning\n"


def test_if_standard_error_accepts_nothing_a_warning_is_counted(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe without a reader, or a closed stream: neither blocks the caller nor raises."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with open(reader, "rb"), open(writer, "wb", buffering=0) as stuffed:
        while stuffed.write(b"x" * 4096):
            pass
        os.set_blocking(writer, True)
        monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BufferedWriter(stuffed)))
        kept = full(slow)
        kept.sink.put(b"warning", logging.WARNING)
        assert standard_error.flush(PATIENCE_S)
        monkeypatch.setattr(sys, "stderr", None)
        kept.sink.put(b"critical", logging.CRITICAL)
    assert kept.dropped == ["WARNING", "CRITICAL"]


@pytest.mark.parametrize(
    ("level", "name"), [(-5, "DEBUG"), (0, "DEBUG"), (25, "INFO"), (49, "ERROR"), (900, "CRITICAL")]
)
def test_a_level_of_ones_own_counts_as_the_one_below(
    slow: Slow, monkeypatch: pytest.MonkeyPatch, level: int, name: str
) -> None:
    """The label has five values, whatever an application invents."""
    monkeypatch.setattr(sys, "stderr", None)
    kept = full(slow)
    kept.sink.put(b"line", level)
    assert kept.dropped == [name]


def test_a_stream_that_takes_nothing_does_not_hold_up_the_end(slow: Slow) -> None:
    """A flush has a limit."""
    kept = full(slow)
    assert kept.sink.flush(0.02) is False


def test_the_writer_waits_for_no_flush_of_its_own() -> None:
    """What a write logs about itself would otherwise stop it."""

    class Talkative(io.BytesIO):
        def write(self, data: Any, /) -> int:
            if not self.tell():
                flushed.append(kept.sink.flush(PATIENCE_S))
            return super().write(data)

    flushed: list[bool] = []
    stream = Talkative()
    kept = Kept(stream)
    kept.sink.put(b"line", logging.INFO)
    assert kept.sink.flush() is True
    assert (flushed, stream.getvalue()) == ([False], b"line\n")


def test_an_interrupted_flush_leaves_a_sink_that_works() -> None:
    """Ctrl-C comes through, and the lines are written later."""

    class Interrupted(io.BytesIO):
        def write(self, data: Any, /) -> int:
            if not interrupted:
                interrupted.append(True)
                raise KeyboardInterrupt
            return super().write(data)

    interrupted: list[bool] = []
    stream = Interrupted()
    kept = Kept(stream)
    kept.sink.put(b"line", logging.INFO)
    with pytest.raises(KeyboardInterrupt):
        kept.sink.flush()
    assert kept.sink.flush() is True
    assert stream.getvalue() == b"line\n"


def test_a_thread_that_cannot_be_started_costs_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the end of a process, or at a limit of its host: who flushes writes."""

    class Unstartable(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading, "Thread", Unstartable)
    stream = io.BytesIO()
    kept = Kept(stream)
    kept.sink.put(b"line", logging.INFO)
    assert kept.sink.flush() is True
    assert stream.getvalue() == b"line\n"


# Order and ends.


def test_closing_writes_what_is_queued(slow: Slow) -> None:
    """The last lines before the end are those that matter."""
    slow.let_go.set()
    kept = Kept(slow)
    for number in range(20):
        kept.sink.put(b"%d" % number, logging.INFO)
    kept.sink.close()
    assert slow.data.endswith(b"19\n")
    kept.sink.close()
    assert slow.data.count(b"19\n") == 1


def test_a_closed_sink_starts_again(slow: Slow) -> None:
    """A line after the end is written too."""
    slow.let_go.set()
    kept = Kept(slow)
    kept.sink.put(b"before", logging.INFO)
    assert slow.waits_for(b"before\n")
    kept.sink.close()
    kept.sink.put(b"after", logging.INFO)
    assert slow.waits_for(b"after\n")
    kept.sink.close()


def test_a_sink_that_was_closed_during_a_write_starts_again() -> None:
    """The same if the writer was busy when it had to end."""
    slow = Slow(hold_s=0.02)
    kept = Kept(slow)
    kept.sink.put(b"before", logging.INFO)
    assert slow.entered.wait(PATIENCE_S)
    kept.sink.close()
    kept.sink.put(b"after", logging.INFO)
    assert slow.waits_for(b"after\n")
    kept.sink.close()


def test_many_threads_lose_nothing() -> None:
    """Every line arrives once, and each thread's in its order."""
    stream = io.BytesIO()
    kept = Kept(stream, size=10_000)

    def work(name: int) -> None:
        for number in range(500):
            kept.sink.put(b"%d:%d" % (name, number), logging.INFO)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept.sink.close()
    lines = [tuple(map(int, line.split(b":"))) for line in stream.getvalue().splitlines()]
    assert len(lines) == 2000
    assert sorted(lines) == [(name, number) for name in range(4) for number in range(500)]
    assert [line for line in lines if line[0] == 2] == [(2, number) for number in range(500)]


def test_standard_output_is_looked_up_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test or a reload may have replaced it."""
    kept = Kept(None)
    for number in range(2):
        written = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written))
        kept.sink.put(b"%d" % number, logging.INFO)
        kept.sink.flush()
        assert written.getvalue() == b"%d\n" % number
    assert kept.failures == []


def test_standard_output_may_be_text_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """`contextlib.redirect_stdout(io.StringIO())` is the usual way to look at what a program prints."""
    kept, output = Kept(None), io.StringIO()
    monkeypatch.setattr(sys, "stdout", output)
    kept.sink.put("çay".encode(), logging.INFO)
    kept.sink.flush()
    assert output.getvalue() == "çay\n"


def run(script: str) -> str:
    """Run a separate program, because it forks and exits."""
    start = "import logging, os, sys, threading\nfrom divan_obs_asgi.logs import Sink\n"
    start += "def sink(stream=None): return Sink(stream, lambda level: None, lambda error: None)\n"
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", start + script]
    environ = {**os.environ, "PYTHONUNBUFFERED": ""}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=environ)
    assert done.stderr == ""
    return done.stdout


def test_the_last_lines_are_written_at_exit() -> None:
    """Without `close`, and without a lifespan."""
    assert run("s = sink()\nfor n in range(3): s.put(b'%d' % n, logging.INFO)") == "0\n1\n2\n"


@pytest.mark.parametrize("before", ["", "s.put(b'before', logging.INFO)\n"], ids=["first", "later"])
def test_a_line_at_the_end_of_the_interpreter_is_written(before: str) -> None:
    """In a destructor: threads no longer run, and starting one would wait forever (up to Python 3.11)."""
    late = "import builtins\nclass Late:\n    def __del__(self): s.put(b'late', logging.INFO)\nbuiltins.late = Late()\n"
    assert run(f"s = sink()\n{before}{late}").splitlines()[-1] == "late"


def test_the_last_resort_starts_no_thread_while_the_interpreter_ends() -> None:
    """The line is lost; the process ends."""
    late = (
        "class Late:\n    def __del__(self): print(standard_error.put(b'late'), flush=True)\nbuiltins.late = Late()\n"
    )
    assert run(f"import builtins\nfrom divan_obs_asgi.logs.last_resort import standard_error\n{late}") == "False\n"


def test_a_forked_worker_writes_its_own_lines_and_no_others() -> None:
    """A server loads the application, logs, and forks: no line is written twice or lost, and no process hangs."""
    out = run(
        """
s = sink()
for number in range(100):
    s.put(b"parent before %d" % number, logging.INFO)
children = []
for name in range(2):
    pid = os.fork()
    if pid == 0:
        s.put(b"child %d" % name, logging.INFO)
        s.close()
        os._exit(0)
    children.append(pid)
s.put(b"parent after", logging.INFO)
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
s.close()
"""
    )
    lines = out.splitlines()
    before = [f"parent before {number}" for number in range(100)]
    assert lines[:100] == before
    assert sorted(lines[100:]) == ["child 0", "child 1", "parent after"]


@pytest.mark.slow
def test_the_lines_of_several_processes_are_not_mixed() -> None:
    """A server's workers write to one pipe; where it is full, a write is taken in pieces that others come between."""
    script = """
for name in "abcd":
    if os.fork() == 0:
        s = sink()
        for number in range(2000):
            s.put(name.encode() * (200 + number % 900), logging.INFO)
        s.close()
        os._exit(0)
for name in "abcd":
    assert os.wait()[1] == 0
"""
    lines = run(script).splitlines()
    assert len(lines) == 8000
    assert all(len(set(line)) == 1 for line in lines)


def test_a_line_that_is_longer_than_a_pipe_takes_at_once() -> None:
    """It comes whole, and so do its neighbours."""
    lengths = (1, 4095, 4096, 4097, 9000, 3, 200_000, 1)
    script = f"s = sink()\nfor n in {lengths}: s.put(b'x' * n, logging.INFO)\ns.close()"
    assert [len(line) for line in run(script).splitlines()] == list(lengths)


def test_a_forked_worker_has_a_writer_of_its_own() -> None:
    """Its lines are written while it works, not only at its end."""
    out = run(
        """
class Stream:
    done = threading.Event()
    def write(self, data):
        os.write(1, data)
        self.done.set()
    def flush(self): ...
s = sink(Stream())
s.put(b"parent", logging.INFO)
assert Stream.done.wait(30)
Stream.done = threading.Event()
pid = os.fork()
if pid == 0:
    s.put(b"child", logging.INFO)
    os._exit(0 if Stream.done.wait(30) else 1)
assert os.waitpid(pid, 0)[1] == 0
"""
    )
    assert out == "parent\nchild\n"
