"""Prometheus's own reader of the text format, and its opinion on names."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.servers.process import program

ROOT = Path(__file__).resolve().parents[2]
NEWEST = ROOT / ".prometheus" / "usr" / "bin" / "promtool"


def complaints(page: bytes) -> list[str]:
    """Return what `promtool check metrics` has to say of a page; nothing where it can be read and is named well."""
    promtool = program("promtool", package="prometheus")
    done = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, check=False)
    told = (done.stdout + done.stderr).decode().splitlines()
    return told or ([] if done.returncode == 0 else [f"exit code {done.returncode}"])


def promtools() -> list[object]:
    """Return ways to find a promtool, as parameters of tests: the oldest that is supported, and the newest."""
    return [
        pytest.param(lambda: program("promtool", package="prometheus"), id="promtool"),
        pytest.param(newest, id="newest"),
    ]


def newest() -> str:
    """Return the path of the promtool that tools/newest_promtool.sh unpacks; without it the test is left out."""
    if not NEWEST.exists():
        pytest.skip(f"{NEWEST.relative_to(ROOT)} is not there: tools/newest_promtool.sh could not fetch it")
    return str(NEWEST)
