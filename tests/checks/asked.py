"""The command: as a process of its own, and in this one where no application is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from divan_obs_asgi.cli import main as cli
from tests.patience import PATIENCE_S

# Read by a check, and perhaps set where the tests run.
_NOT_OURS = {"PROMETHEUS_MULTIPROC_DIR": None, "WEB_CONCURRENCY": None, "FORWARDED_ALLOW_IPS": None}
# The import of an application is work, and many processes may share the machine.
_TIMEOUT_S = 4 * PATIENCE_S
# All that a process needs of ours.
_KEPT = ("PATH", "PYTHONPATH")


def run(*arguments: str, cwd: Path, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder, with these variables and no others."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "divan_obs_asgi", "check", *arguments],
        env={**kept, **(environ or {})},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )


def reported(*arguments: str, cwd: Path, environ: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """Return the findings of the command in a folder."""
    done = run(*arguments, "--format", "json", cwd=cwd, environ=environ)
    assert done.returncode in (0, 1), done.stderr
    return _findings(done.returncode, done.stdout)


def invoke(*arguments: str, environ: Mapping[str, str] | None = None) -> Result:
    assert "--app" not in arguments, "what an application does when it is imported stays in this process"
    return CliRunner().invoke(cli.main, ["check", *arguments], env={**_NOT_OURS, **(environ or {})})


def findings(*arguments: str, environ: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    result = invoke(*arguments, "--format", "json", environ=environ)
    assert result.exit_code in (0, 1), result.output
    return _findings(result.exit_code, result.stdout)


def ids(*arguments: str, environ: Mapping[str, str] | None = None) -> set[str]:
    return {finding["id"] for finding in findings(*arguments, environ=environ)}


def _findings(status: int, text: str) -> list[dict[str, Any]]:
    report = json.loads(text)
    assert status == (1 if report["errors"] else 0)
    found: list[dict[str, Any]] = report["findings"]
    return found
