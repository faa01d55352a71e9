"""`python -m benchmarks.load`, as a command."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.load import scripts, stage  # noqa: F401 - without what these need, there is no such command
from tests.patience import PATIENCE_S
from tests.servers.process import children

# What a shell starts in the background ignores Ctrl-C, and what that starts inherits it.
COMMAND = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = ["benchmarks.load", "--short"]
runpy.run_module("benchmarks.load", run_name="__main__")
"""


def descendants(pid: int) -> set[int]:
    found = set(children(pid))
    for child in list(found):
        found |= descendants(child)
    return found


def commands(pids: set[int]) -> str:
    """Return what runs as these processes, for those that are there and not only unreaped."""
    found = []
    for pid in sorted(pids):
        try:
            found.append(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return "\n".join(filter(None, found))


def until(condition: bool, deadline: float) -> bool:
    """Tell whether to go on waiting."""
    assert condition or time.monotonic() < deadline
    time.sleep(0.05)
    return not condition


@contextmanager
def loading() -> Iterator[tuple[subprocess.Popen[str], set[int]]]:
    """Run the command until k6 asks the backend; yields it, and the processes that it has started."""
    with scripts.started([sys.executable, "-c", COMMAND]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "chat_send_load, stack on\n"
        deadline = time.monotonic() + PATIENCE_S
        while until("k6 run" in commands(descendants(process.pid)), deadline):
            pass
        yield process, descendants(process.pid)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_nothing_is_left_behind(number: signal.Signals) -> None:
    """However it ends: PostgreSQL, Redis, the backend, k6 and what they kept on disk are gone."""
    with loading() as (process, started):
        running = commands(started)
        for name in ("postgres", "redis-server", "examples.divan", "k6 run"):
            assert name in running
        folders = re.findall(r"leash (\S+)", running)
        assert len(folders) == 3
        os.kill(process.pid, number)
        process.wait(2 * PATIENCE_S)
    assert process.returncode != 0
    deadline = time.monotonic() + 2 * PATIENCE_S
    while until(commands(started) == "" and not any(map(os.path.exists, folders)), deadline):
        pass
