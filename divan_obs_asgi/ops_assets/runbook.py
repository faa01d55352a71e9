"""The runbooks, one for each alert. Their default metric and job names are replaced at the export."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.resources import files as resources

from divan_obs_asgi.metrics.registry import NAMESPACE
from divan_obs_asgi.ops_assets.parameters import Parameters

FOLDER = "runbooks"
# The namespace at the start of a series or a recording rule. The logger name `divan_obs_asgi` is not replaced.
_NAMESPACE = re.compile(rf"\b{NAMESPACE}(?=:|_(?!obs_asgi\b))")
_JOB = f'job="{NAMESPACE}"'


def runbooks(parameters: Parameters) -> Mapping[str, str]:
    """Return the runbooks and their README, by path in the exported folder."""
    folder = resources("divan_obs_asgi.ops_assets") / FOLDER
    pages = sorted((page for page in folder.iterdir() if page.name.endswith(".md")), key=lambda page: page.name)
    return {f"{FOLDER}/{page.name}": renamed(page.read_text(encoding="utf-8"), parameters) for page in pages}


def renamed(text: str, parameters: Parameters) -> str:
    """Return a runbook with the namespace and the job of `parameters`."""
    # The text is split at the job first, because the name of a job may look like a series.
    job = f"job={json.dumps(parameters.job, ensure_ascii=False)}"
    return job.join(_NAMESPACE.sub(parameters.namespace, part) for part in text.split(_JOB))


__all__ = ["FOLDER", "renamed", "runbooks"]
