"""The runbooks, one for each alert: texts with the default names, which are exported with a team's own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.resources import files as resources

from divan_obs_asgi.metrics.registry import NAMESPACE
from divan_obs_asgi.ops_assets.parameters import Parameters

FOLDER = "runbooks"
# As it begins the name of a series or of a recording rule; loggers are called `divan_obs_asgi` everywhere.
_NAMESPACE = re.compile(rf"\b{NAMESPACE}(?=:|_(?!obs_asgi\b))")
_JOB = f'job="{NAMESPACE}"'


def runbooks(parameters: Parameters) -> Mapping[str, str]:
    """Return the runbooks and their README, by their paths below the exported folder."""
    folder = resources("divan_obs_asgi.ops_assets") / FOLDER
    pages = sorted((page for page in folder.iterdir() if page.name.endswith(".md")), key=lambda page: page.name)
    return {f"{FOLDER}/{page.name}": renamed(page.read_text(encoding="utf-8"), parameters) for page in pages}


def renamed(text: str, parameters: Parameters) -> str:
    """Return a runbook with the series and the job of `parameters`."""
    # The job first: its name may look like a series.
    job = f"job={json.dumps(parameters.job, ensure_ascii=False)}"
    return job.join(_NAMESPACE.sub(parameters.namespace, part) for part in text.split(_JOB))


__all__ = ["FOLDER", "renamed", "runbooks"]
