"""SIGTERM: nothing that was logged is lost, and the signal does what it did."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from divan_obs_asgi.logs.termination import FlushOnTermination, flush_on_termination

START = """
import logging, os, signal, sys, threading
import divan_obs_asgi as obs

def take_over():
    bundle = obs.Observability.from_env({})
    bundle.log.install()
    logging.warning("one")
    return bundle

def end():
    os.kill(os.getpid(), signal.SIGTERM)
"""


def run(script: str) -> tuple[int, list[str]]:
    """Run a program of its own; return how it ended, and the messages that it logged."""
    done = subprocess.run([sys.executable, "-c", START + script], capture_output=True, timeout=60, check=False)
    assert done.stderr == b""
    return done.returncode, [line.split(b'"msg":"')[1].split(b'"')[0].decode() for line in done.stdout.splitlines()]


@pytest.fixture(autouse=True)
def _handler_as_it_was() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.slow
def test_a_process_without_another_handler_ends_by_the_signal() -> None:
    """Its parent sees the signal, as without us; its lines are there."""
    assert run("take_over(); end()") == (-signal.SIGTERM, ["one"])


def test_a_host_keeps_its_handler() -> None:
    """It is called after the lines are written, and decides."""
    script = """
def stop(number, frame):
    assert number == signal.SIGTERM
    os._exit(7)
signal.signal(signal.SIGTERM, stop)
take_over()
end()
"""
    assert run(script) == (7, ["one"])


def test_after_the_signal_each_line_is_written_at_once() -> None:
    """A server drains for a while, and then ends without a word."""
    script = """
signal.signal(signal.SIGTERM, lambda number, frame: None)
take_over()
end()
for number in range(3):
    logging.info("draining %d", number)
os._exit(0)
"""
    assert run(script) == (0, ["one", "draining 0", "draining 1", "draining 2"])


@pytest.mark.slow
def test_a_process_that_ignores_the_signal_keeps_running() -> None:
    """Nothing is set up for it."""
    script = "signal.signal(signal.SIGTERM, signal.SIG_IGN); take_over(); end(); logging.warning('two')"
    assert run(script) == (0, ["one", "two"])


@pytest.mark.slow
def test_a_signal_in_the_middle_of_logging() -> None:
    """The handler may come between any two steps of a `put` or a `flush` of its own thread."""
    script = """
bundle = take_over()
def bother():
    for _ in range(200):
        os.kill(os.getpid(), signal.SIGUSR1)
signal.signal(signal.SIGUSR1, lambda number, frame: bundle.log.sink.flush(0.01))
other = threading.Thread(target=bother)
other.start()
count = 1
while other.is_alive():
    bundle.log.sink.put(b'{"msg":"x"}', 20)
    bundle.log.sink.flush()
    count += 1
other.join()
bundle.log.sink.close()
print('{"msg":"%d"}' % count)
"""
    code, messages = run(script)
    assert code == 0
    assert messages.count("x") + 1 == int(messages[-1])


def test_only_the_main_thread_may_set_it() -> None:
    """An application may be created in another thread."""
    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=flush_on_termination)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before


def test_it_is_set_once() -> None:
    """However often an application is put together."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    flush_on_termination()
    first = signal.getsignal(signal.SIGTERM)
    flush_on_termination()
    assert isinstance(first, FlushOnTermination)
    assert signal.getsignal(signal.SIGTERM) is first
    # A server that comes later replaces it; from then on it stands in front of the server's.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    flush_on_termination()
    assert isinstance(signal.getsignal(signal.SIGTERM), FlushOnTermination)
