"""promtool: Prometheus's own parser of the text format, and its rules for names."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.servers.process import program

ROOT = Path(__file__).resolve().parents[2]
#: The folder of tools/newest_programs.sh.
NEWEST = ROOT / ".newest"


def complaints(page: bytes) -> list[str]:
    """Return the output of `promtool check metrics` for a page; it is empty for a valid page with good names."""
    promtool = program("promtool", package="prometheus")
    done = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, check=False)
    output = (done.stdout + done.stderr).decode().splitlines()
    return output or ([] if done.returncode == 0 else [f"exit code {done.returncode}"])


def promtools() -> list[object]:
    """Return ways to find a promtool, as parameters of tests: the oldest that is supported, and the newest."""
    return both("promtool", package="prometheus")


def both(name: str, *, package: str) -> list[object]:
    """Return ways to find a program, as parameters of tests: the installed one, and the newest."""
    return [
        pytest.param(lambda: program(name, package=package), id=name),
        pytest.param(lambda: newest(f"usr/bin/{name}"), id="newest"),
    ]


def newest(path: str) -> str:
    """Return the path of a program that tools/newest_programs.sh unpacks; skip the test if it is missing."""
    found = NEWEST / path
    if not found.exists():
        pytest.skip(f"{found.relative_to(ROOT)} is not there: tools/newest_programs.sh could not fetch it")
    return str(found)
