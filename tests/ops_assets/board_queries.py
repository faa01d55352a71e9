"""Dashboard queries as Grafana would send them, and rules, with minutes shortened to seconds."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

# Every window, offset and `for` of rules and boards is divided by this, down to what has enough scrapes of one a
# second; all else of an expression is as it was exported.
FASTER, LEAST_S = 600, 4
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(?<=\[)(\d+)([smhd])(?=\])|(?<=offset )(\d+)([smhd])\b")


def scaled(number: str, unit: str) -> str:
    return f"{max(LEAST_S, math.ceil(int(number) * _UNIT_S[unit] / FASTER))}s"


def faster(expression: str) -> str:
    return _DURATION.sub(lambda found: scaled(*filter(None, found.groups())), expression)


def faster_rules(text: str) -> str:
    rules = yaml.safe_load(text)
    for group in rules["groups"]:
        group.pop("interval", None)
        for rule in group["rules"]:
            rule["expr"] = faster(rule["expr"])
            for name in ("for", "keep_firing_for"):
                if rule.get(name, "0s") != "0s":
                    rule[name] = scaled(*re.fullmatch(r"(\d+)(\w)", rule[name]).groups())  # type: ignore[union-attr]
    return json.dumps(rules)


@dataclass(frozen=True)
class Query:
    """One query of a panel."""

    board: str
    panel: str
    number: int
    unit: str
    legend: str
    expression: str
    instant: bool
    exemplar: bool

    @property
    def key(self) -> tuple[str, str, int]:
        return self.board, self.panel, self.number

    def over(self, seconds: float) -> str:
        """Return what Grafana would ask: its variables replaced, for all jobs and instances."""
        expression = faster(self.expression).replace("$__rate_interval", f"{LEAST_S}s")
        expression = expression.replace("$__range", f"{round(seconds)}s")
        return expression.replace("$job", ".+").replace("$instance", ".+")


def queries(files: Mapping[str, str]) -> Iterator[Query]:
    """Yield every query of every panel of every dashboard."""
    for path, text in files.items():
        if not path.startswith("grafana/dashboards/"):
            continue
        for panel in json.loads(text)["panels"]:
            for number, target in enumerate(panel.get("targets", ())):
                yield Query(
                    board=path.removeprefix("grafana/dashboards/").removesuffix(".json"),
                    panel=panel["title"],
                    number=number,
                    unit=unit_of(panel, target["refId"]),
                    legend=target["legendFormat"],
                    expression=target["expr"],
                    instant=target["instant"],
                    exemplar=target.get("exemplar", False),
                )


def unit_of(panel: dict[str, Any], reference: str) -> str:
    """Return the unit of a query, or of its column in a table."""
    named = {
        new: old
        for transformation in panel.get("transformations", ())
        for old, new in transformation["options"].get("renameByName", {}).items()
    }
    for override in panel["fieldConfig"].get("overrides", ()):
        if named.get(override["matcher"]["options"]) in ("Value", f"Value #{reference}"):
            [unit] = [one["value"] for one in override["properties"] if one["id"] == "unit"]
            return str(unit)
    return str(panel["fieldConfig"]["defaults"]["unit"])


__all__ = ["LEAST_S", "Query", "faster_rules", "queries"]
