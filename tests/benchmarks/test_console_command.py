"""`python -m benchmarks.console`, in a small form: what the ops console holds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

ROOT = Path(__file__).parents[2]
MAX_BYTES = 2 * 2**20

pytestmark = pytest.mark.slow


def test_what_the_console_holds_stays_within_its_bytes() -> None:
    """Paths, exception texts and large fields of their own; the command fails where it holds more."""
    command = [sys.executable, "-m", "benchmarks.console", "--rounds", "0", "--pages", "0", "--json"]
    done = subprocess.run(
        [*command, "--requests", "300", "--bytes", str(MAX_BYTES)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    result = orjson.loads(done.stdout)
    assert [row["requests"] for row in result["memory"]] == list(range(30, 301, 30))
    assert max(row["added_mb"] for row in result["memory"]) <= 1.1 * MAX_BYTES / 1e6
