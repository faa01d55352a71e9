"""The generated files: a pure function from parameters to texts."""

from __future__ import annotations

import json
from collections.abc import Mapping

from divan_obs_asgi.ops_assets.dashboards import boards
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.rules import rules
from divan_obs_asgi.ops_assets.runbook import runbooks
from divan_obs_asgi.ops_assets.yaml_text import dump

_HEAD = "Generated from the metrics that divan-obs-asgi declares; Prometheus 2.42 or later."


def files(parameters: Parameters) -> Mapping[str, str]:
    """Return the content of every generated file, by its path below the exported folder."""
    return {
        "prometheus/rules-phase8.yml": dump(rules(parameters).written(parameters), _HEAD),
        **runbooks(parameters),
        **{f"grafana/dashboards/{name}.json": _json(board) for name, board in boards(parameters).items()},
    }


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n"


def warnings(parameters: Parameters) -> tuple[str, ...]:
    """Return what the files leave out for these parameters, a sentence each."""
    return rules(parameters).warnings


__all__ = ["files", "warnings"]
