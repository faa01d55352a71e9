"""Processor time of our processes, and of others."""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.load.processor import Mark, machine_s, processors, tree_s

# Works for so long by its own clock, however slow the machine is.
WORK = "import time\nwhile time.process_time() < 0.5: pass\n"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {WORK!r}]); print('done', flush=True); input()"


def test_descendants_count_even_after_their_end() -> None:
    """A child of a child that has ended is its parent's."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        assert tree_s(parent.pid) >= 0.5
        parent.kill()
    assert tree_s(parent.pid) == 0


def test_what_we_use_is_not_used_by_others() -> None:
    """But for a tree that is not ours."""
    mine = Mark.now()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as idle:
        not_mine = Mark.now(idle.pid)
        subprocess.run([sys.executable, "-c", WORK], check=True)
        # The same span of time, but for the first line: the half second of work is others' to the one alone.
        assert not_mine.others() > mine.others()
        idle.kill()
    assert 0 <= mine.others() <= 1
    assert tree_s(os.getpid()) - mine.own_s >= 0.5


def test_the_machine_is_counted() -> None:
    """All of its processors."""
    assert processors() >= 1
    before = machine_s()
    subprocess.run([sys.executable, "-c", WORK], check=True)
    assert machine_s() - before >= 0.4  # the kernel counts by ticks
