"""`python -m benchmarks.served`, as a command."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import granian  # noqa: F401 - started as a command
import pytest
import structlog  # noqa: F401 - the command imports what the peers need

from benchmarks.served import __main__ as command  # noqa: F401 - without what this needs, there is no such command
from tests.patience import PATIENCE_S
from tests.servers.process import children

SHORT = ("--rounds", "1", "--seconds", "1", "--variants", "ours", "--modes", "on")
# What a shell starts in the background ignores Ctrl-C, and what that starts inherits it.
COMMAND = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv[0] = "benchmarks.served"
runpy.run_module("benchmarks.served", run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
def test_the_table_has_every_case() -> None:
    """Two servers, two variants; spans discarded and sent to a collector."""
    done = subprocess.run([sys.executable, "-c", COMMAND, *SHORT], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    heads = next(number for number, line in enumerate(lines) if line.startswith("server "))
    rows = [line.split() for line in lines[heads + 1 : heads + 7]]
    assert [row[:4] if "ours" in row else row[:2] for row in rows] == [
        case
        for server in ("uvicorn", "granian")
        for case in ([server, "bare"], [server, "ours", "on", "discarded"], [server, "ours", "on", "otlp"])
    ]
    assert all(float(row[2 if "bare" in row else 4]) > 0 for row in rows)
    targets = [line for line in lines if ", target at " in line]
    assert len(targets) == 8


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_nothing_is_left_behind(number: signal.Signals) -> None:
    """Ctrl-C ends the server that is measured, too."""
    with subprocess.Popen([sys.executable, "-c", COMMAND, *SHORT], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("round 1 of 1: ")
        deadline = time.monotonic() + PATIENCE_S
        while not (started := children(process.pid)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(number)
        process.wait(2 * PATIENCE_S)
    assert process.returncode != 0
    assert [pid for pid in started if Path(f"/proc/{pid}").exists()] == []
