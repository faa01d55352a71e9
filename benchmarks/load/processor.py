"""Processor time of process trees and of the whole machine, from /proc (Linux)."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
# Of the numbers in the line `cpu` of /proc/stat: what is not work. Guests are contained in user and nice (proc(5)).
_IDLE, _IOWAIT, _GUEST = 3, 4, 8
# Of /proc/PID/stat behind the name, which may hold spaces: state is the first.
_PARENT, _USER, _CHILDREN_SYSTEM = 1, 11, 14


def tree_s(root: int) -> float:
    """Return user and system seconds of a process and its descendants, including those it has waited for."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        pid = int(folder.name)
        parents[pid] = int(fields[_PARENT])
        ticks[pid] = sum(map(int, fields[_USER : _CHILDREN_SYSTEM + 1]))
    return sum(ticks[pid] for pid in ticks if _descends(pid, root, parents)) / _TICKS_A_SECOND


def machine_s() -> float:
    """Return the seconds that all processors together have worked, or were kept from it by other machines."""
    numbers = [int(number) for number in _stat()[0].split()[1 : _GUEST + 1]]
    return (sum(numbers) - numbers[_IDLE] - numbers[_IOWAIT]) / _TICKS_A_SECOND


def processors() -> int:
    return sum(line.startswith("cpu") for line in _stat()) - 1


@dataclass(frozen=True)
class Mark:
    """A moment from which processor time is counted."""

    at: float
    machine_s: float
    own_s: float
    root: int

    @classmethod
    def now(cls, root: int | None = None) -> Self:
        """Count from now on; `root` is the process whose tree is ours (default: this one)."""
        root = os.getpid() if root is None else root
        return cls(time.monotonic(), machine_s(), tree_s(root), root)

    def others(self) -> float:
        """Return the share of the machine that processes outside of our tree have used since, from 0 to 1."""
        own_s = tree_s(self.root) - self.own_s
        used_s = machine_s() - self.machine_s
        return min(1.0, max(0.0, (used_s - own_s) / (processors() * max(time.monotonic() - self.at, 0.001))))


def _descends(pid: int, root: int, parents: dict[int, int]) -> bool:
    while pid != root and pid in parents:
        pid = parents[pid]
    return pid == root


def _stat() -> list[str]:
    return Path("/proc/stat").read_text().splitlines()


__all__ = ["Mark", "machine_s", "processors", "tree_s"]
