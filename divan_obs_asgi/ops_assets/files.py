"""Generates the files for the systems around the service from parameters."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.resources import files as resources

from divan_obs_asgi.ops_assets.dashboards import boards
from divan_obs_asgi.ops_assets.deployment import deployment
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.rules import rules
from divan_obs_asgi.ops_assets.runbook import runbooks
from divan_obs_asgi.ops_assets.yaml_text import dump

_HEAD = "Generated from the metrics that divan-obs-asgi declares; Prometheus 2.42 or later."
# Folders of package data with files that do not depend on the parameters.
_STATIC = ("k6",)


def files(parameters: Parameters) -> Mapping[str, str]:
    """Return the content of every generated file, by its path in the exported folder."""
    return {
        "prometheus/rules-phase8.yml": dump(rules(parameters).written(parameters), _HEAD),
        **runbooks(parameters),
        **deployment(parameters),
        **{f"grafana/dashboards/{name}.json": _json(board) for name, board in boards(parameters).items()},
    }


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n"


def exported(parameters: Parameters) -> Mapping[str, str]:
    """Return the content of every exported file, generated and static, sorted by path."""
    return dict(sorted({**dict(_static()), **files(parameters)}.items()))


def warnings(parameters: Parameters) -> tuple[str, ...]:
    """Return one sentence for each alert that is left out with these parameters."""
    return rules(parameters).warnings


def _static() -> Iterator[tuple[str, str]]:
    for name in _STATIC:
        for file in resources(__package__).joinpath(name).iterdir():
            yield f"{name}/{file.name}", file.read_text(encoding="utf-8")


__all__ = ["exported", "files", "warnings"]
