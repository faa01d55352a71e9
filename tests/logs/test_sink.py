"""The sink: it never makes the caller wait, loses nothing that fits, and says what it could not keep."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from divan_obs_asgi.logs import ByteStream, Sink

PATIENCE_S = 10.0


class Slow:
    """A stream whose first write is under way until it is let go: a pipe that nobody reads, a full disk's retry."""

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
        """Return whether the line arrives; without end, nobody would wait for a line that is lost."""
        with self.arrived:
            return self.arrived.wait_for(lambda: line in self.data, 2.0)


class Broken:
    """A stream of which nothing is left."""

    def __init__(self) -> None:
        self.mended = False
        self.data = b""

    def write(self, data: bytes, /) -> None:
        if not self.mended:
            raise BrokenPipeError("nobody reads")
        self.data += data

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
        kept.sink.put(b"%d" % number, "INFO")
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
    kept.sink.put(b"hello", "INFO")
    assert slow.waits_for(b"hello\n")
    kept.sink.close()


def test_the_caller_does_not_wait_for_the_stream(slow: Slow) -> None:
    """While a write is under way, lines are taken; they are written when it is done."""
    kept = Kept(slow)
    kept.sink.put(b"first", "INFO")
    assert slow.entered.wait(PATIENCE_S)
    for number in range(50):
        kept.sink.put(b"%d" % number, "INFO")
    assert slow.data == b""
    slow.let_go.set()
    assert slow.waits_for(b"49\n")
    kept.sink.close()
    assert slow.data == b"first\n" + b"".join(b"%d\n" % number for number in range(50))
    assert kept.dropped == []


def test_a_full_queue_drops_the_newest_and_counts_it(slow: Slow) -> None:
    """Memory is bounded; what was taken is kept."""
    kept = Kept(slow, size=3)
    kept.sink.put(b"under way", "INFO")
    assert slow.entered.wait(PATIENCE_S)
    for number, level in enumerate(["INFO", "INFO", "INFO", "INFO", "ERROR"]):
        kept.sink.put(b"%d" % number, level)
    assert kept.dropped == ["INFO", "ERROR"]
    slow.let_go.set()
    assert slow.waits_for(b"2\n")
    kept.sink.close()
    assert slow.data == b"under way\n0\n1\n2\n"


def test_there_is_room_again_after_a_write() -> None:
    """A full queue is no state to stay in."""
    stream = io.BytesIO()
    kept = Kept(stream, size=1)
    for _ in range(3):
        kept.sink.put(b"line", "INFO")
        kept.sink.flush()
    assert (stream.getvalue(), kept.dropped) == (b"line\n" * 3, [])


def test_a_write_that_fails_is_reported_and_the_service_goes_on() -> None:
    """The lines of that write are lost, those after it are not."""
    stream = Broken()
    kept = Kept(stream)
    kept.sink.put(b"lost", "INFO")
    kept.sink.flush()
    assert [type(error) for error in kept.failures] == [BrokenPipeError]
    stream.mended = True
    kept.sink.put(b"kept", "INFO")
    kept.sink.flush()
    assert (stream.data, len(kept.failures)) == (b"kept\n", 1)


def test_a_closed_stream_is_reported() -> None:
    """ValueError and not OSError is what Python raises there."""
    stream = io.BytesIO()
    stream.close()
    kept = Kept(stream)
    kept.sink.put(b"lost", "INFO")
    kept.sink.flush()
    assert [type(error) for error in kept.failures] == [ValueError]


def test_closing_writes_what_is_queued(slow: Slow) -> None:
    """The last lines before the end are those that matter."""
    slow.let_go.set()
    kept = Kept(slow)
    for number in range(20):
        kept.sink.put(b"%d" % number, "INFO")
    kept.sink.close()
    assert slow.data.endswith(b"19\n")
    kept.sink.close()
    assert slow.data.count(b"19\n") == 1


def test_a_closed_sink_starts_again(slow: Slow) -> None:
    """A line after the end is written too."""
    slow.let_go.set()
    kept = Kept(slow)
    kept.sink.put(b"before", "INFO")
    assert slow.waits_for(b"before\n")
    kept.sink.close()
    kept.sink.put(b"after", "INFO")
    assert slow.waits_for(b"after\n")
    kept.sink.close()


def test_a_sink_that_was_closed_during_a_write_starts_again() -> None:
    """The same where the writer was busy when it was told to end."""
    slow = Slow(hold_s=0.02)
    kept = Kept(slow)
    kept.sink.put(b"before", "INFO")
    assert slow.entered.wait(PATIENCE_S)
    kept.sink.close()
    kept.sink.put(b"after", "INFO")
    assert slow.waits_for(b"after\n")
    kept.sink.close()


def test_many_threads_lose_nothing() -> None:
    """Every line arrives once, and each thread's in its order."""
    stream = io.BytesIO()
    kept = Kept(stream, size=10_000)

    def work(name: int) -> None:
        for number in range(500):
            kept.sink.put(b"%d:%d" % (name, number), "INFO")

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
        kept.sink.put(b"%d" % number, "INFO")
        kept.sink.flush()
        assert written.getvalue() == b"%d\n" % number
    assert kept.failures == []


def test_standard_output_may_be_text_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """`contextlib.redirect_stdout(io.StringIO())` is the usual way to look at what a program prints."""
    kept, output = Kept(None), io.StringIO()
    monkeypatch.setattr(sys, "stdout", output)
    kept.sink.put("çay".encode(), "INFO")
    kept.sink.flush()
    assert output.getvalue() == "çay\n"


def run(script: str) -> str:
    """Run a program of its own: forks and exits are none of this process."""
    start = "import os, sys, threading\nfrom divan_obs_asgi.logs import Sink\n"
    start += "def sink(stream=None): return Sink(stream, lambda level: None, lambda error: None)\n"
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", start + script]
    environ = {**os.environ, "PYTHONUNBUFFERED": ""}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=environ)
    assert done.stderr == ""
    return done.stdout


def test_the_last_lines_are_written_at_exit() -> None:
    """Without `close`, and without a lifespan."""
    assert run("s = sink()\nfor n in range(3): s.put(b'%d' % n, 'INFO')") == "0\n1\n2\n"


def test_a_forked_worker_writes_its_own_lines_and_no_others() -> None:
    """A server loads the application, logs, and forks: no line is written twice, none is lost, and nobody hangs."""
    out = run(
        """
s = sink()
for number in range(100):
    s.put(b"parent before %d" % number, "INFO")
children = []
for name in range(2):
    pid = os.fork()
    if pid == 0:
        s.put(b"child %d" % name, "INFO")
        s.close()
        os._exit(0)
    children.append(pid)
s.put(b"parent after", "INFO")
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
s.close()
"""
    )
    lines = out.splitlines()
    before = [f"parent before {number}" for number in range(100)]
    assert lines[:100] == before
    assert sorted(lines[100:]) == ["child 0", "child 1", "parent after"]


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
s.put(b"parent", "INFO")
assert Stream.done.wait(10)
Stream.done = threading.Event()
pid = os.fork()
if pid == 0:
    s.put(b"child", "INFO")
    os._exit(0 if Stream.done.wait(10) else 1)
assert os.waitpid(pid, 0)[1] == 0
"""
    )
    assert out == "parent\nchild\n"
