"""All rules, in their evaluation groups."""

from __future__ import annotations

from dataclasses import dataclass

from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.rules import itself, objectives, recorded, service, traffic, work
from divan_obs_asgi.ops_assets.rules.rule import Alert, Group
from divan_obs_asgi.ops_assets.yaml_text import Value


@dataclass(frozen=True, slots=True)
class Rules:
    """
    The rules for one service.

    Attributes:
        warnings: one sentence for each alert that was left out.
    """

    groups: tuple[Group, ...]
    warnings: tuple[str, ...] = ()

    @property
    def alerts(self) -> list[Alert]:
        """The alerts of all groups."""
        return [rule for group in self.groups for rule in group.rules if isinstance(rule, Alert)]

    def written(self, parameters: Parameters) -> Value:
        """Return the rules in the format of a Prometheus rule file, which is also the `spec` of a PrometheusRule."""
        return {"groups": [group.written(parameters) for group in self.groups]}


def rules(parameters: Parameters) -> Rules:
    """Return the rules for these parameters."""
    return Rules(
        (
            *recorded.groups(parameters),
            Group("objectives", tuple(objectives.alerts(parameters))),
            Group("traffic", tuple(traffic.alerts(parameters))),
            Group("service", tuple(service.alerts(parameters))),
            Group("work", tuple(work.alerts(parameters))),
            Group("observability", tuple(itself.alerts(parameters))),
        ),
        tuple(objectives.warnings(parameters)),
    )


__all__ = ["Rules", "rules"]
