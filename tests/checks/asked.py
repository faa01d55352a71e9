"""The command, run in this process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from click.testing import CliRunner, Result

from divan_obs_asgi import cli

# Read by a check, and perhaps set where the tests run.
_NOT_OURS = {"PROMETHEUS_MULTIPROC_DIR": None, "WEB_CONCURRENCY": None, "FORWARDED_ALLOW_IPS": None}


def invoke(*arguments: str, environ: Mapping[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli.main, ["check", *arguments], env={**_NOT_OURS, **(environ or {})})


def findings(*arguments: str, environ: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    result = invoke(*arguments, "--format", "json", environ=environ)
    assert result.exit_code in (0, 1), result.output
    report = json.loads(result.stdout)
    assert result.exit_code == (1 if report["errors"] else 0)
    found: list[dict[str, Any]] = report["findings"]
    return found


def ids(*arguments: str, environ: Mapping[str, str] | None = None) -> set[str]:
    return {finding["id"] for finding in findings(*arguments, environ=environ)}
