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

SHORT = ("--rounds", "1", "--seconds", "1", "--variants", "ours")
# What a shell starts in the background ignores Ctrl-C, and what that starts inherits it.
COMMAND = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv[0] = "benchmarks.served"
runpy.run_module("benchmarks.served", run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("server", "mode", "cases", "targets"),
    [
        ("uvicorn", "on", [["bare"], ["ours", "on", "discarded"], ["ours", "on", "otlp"]], 4),
        ("granian", "off", [["bare"], ["ours", "off"]], 0),
    ],
    ids=["uvicorn", "granian"],
)
def test_the_table_has_every_case(server: str, mode: str, cases: list[list[str]], targets: int) -> None:
    """The bare application beside ours; spans are discarded, or arrive at a collector."""
    arguments = [*SHORT, "--servers", server, "--modes", mode]
    done = subprocess.run([sys.executable, "-c", COMMAND, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    heads = next(number for number, line in enumerate(lines) if line.startswith("server "))
    rows = [line.split() for line in lines[heads + 1 : heads + 1 + len(cases)]]
    assert [row[: len(case) + 1] for row, case in zip(rows, cases, strict=True)] == [[server, *case] for case in cases]
    assert all(float(row[len(case) + 1]) > 0 for row, case in zip(rows, cases, strict=True))
    assert sum(", target at " in line for line in lines) == targets


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
    # A process that was killed is there until its parent, or the one that adopts it, has noticed.
    deadline = time.monotonic() + PATIENCE_S
    while left := [pid for pid in started if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
