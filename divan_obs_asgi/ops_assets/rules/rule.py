"""Rules as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.promql import Vector
from divan_obs_asgi.ops_assets.yaml_text import Value

Severity: TypeAlias = Literal["page", "ticket"]


@dataclass(frozen=True, slots=True)
class Record:
    """
    A recording rule of Prometheus.

    Attributes:
        name: the name without the namespace.
    """

    name: str
    expr: Vector

    def written(self, parameters: Parameters) -> Value:
        """Return the rule in the format of a Prometheus rule file."""
        return {"record": f"{parameters.namespace}:{self.name}", "expr": self.expr}


@dataclass(frozen=True, slots=True)
class Alert:
    """
    An alerting rule. Several rules may share a name and differ by `labels`.

    Attributes:
        board: the dashboard to open first.
        pending: how long `expr` must be true before the alert fires (`for` in Prometheus).
        keep_firing: how long the alert keeps firing after `expr` has become false.
        summary, description: texts with Prometheus templates.
    """

    name: str
    severity: Severity
    expr: Vector
    summary: str
    description: str
    board: str
    pending: str = "0s"
    keep_firing: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The name and the values of `labels`, which identify the rule."""
        return "/".join([self.name, *self.labels.values()])

    def written(self, parameters: Parameters) -> Value:
        """Return the rule in the format of a Prometheus rule file."""
        rule: dict[str, Value] = {"alert": self.name, "expr": self.expr, "for": self.pending}
        if self.keep_firing:
            rule["keep_firing_for"] = self.keep_firing
        rule["labels"] = {"severity": self.severity, **self.labels}
        rule["annotations"] = {
            "summary": self.summary,
            "description": self.description,
            "runbook_url": parameters.runbook(self.name),
            "dashboard_url": parameters.dashboard(self.board),
        }
        return rule


@dataclass(frozen=True, slots=True)
class Group:
    """
    A group of rules that Prometheus evaluates in order.

    Attributes:
        interval: seconds between two evaluations; 0 for the default of the Prometheus configuration.
    """

    name: str
    rules: tuple[Record | Alert, ...]
    interval: int = 0

    def written(self, parameters: Parameters) -> Value:
        """Return the group in the format of a Prometheus rule file."""
        head: dict[str, Value] = {"name": f"{parameters.namespace}-{self.name}"}
        if self.interval:
            head["interval"] = f"{self.interval}s"
        return {**head, "rules": [rule.written(parameters) for rule in self.rules]}


__all__ = ["Alert", "Group", "Record", "Severity"]
