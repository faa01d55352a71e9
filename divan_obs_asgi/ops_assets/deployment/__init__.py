"""Files that deploy the service and its monitoring. Each module returns the content of its files by path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from divan_obs_asgi.ops_assets.deployment import (
    alertmanager,
    collector,
    compose,
    grafana,
    operator,
    prometheus,
    workload,
)
from divan_obs_asgi.ops_assets.parameters import Parameters


def deployment(parameters: Parameters) -> Mapping[str, str]:
    """Return the content of all deployment files by path."""
    return dict(_files(parameters))


def _files(parameters: Parameters) -> Iterator[tuple[str, str]]:
    for module in (collector, prometheus, alertmanager, grafana, compose, workload, operator):
        yield from module.files(parameters).items()


__all__ = ["deployment"]
