"""Panels as data: a question, the queries that answer it, and how Grafana draws the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from string import ascii_uppercase
from typing import Any, Literal, TypeAlias

from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.promql import Vector

Json: TypeAlias = dict[str, Any]

# A uid by a variable: a board whose data source is written into it fails where Grafana provisions it under another uid.
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, slots=True)
class Query:
    """
    A query of a panel.

    Attributes:
        legend: how its series are called; `{{route}}` is a label. In a table the heading of its column.
        unit: of the column of a table.
    """

    expr: Vector
    legend: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """
    A question and its answer.

    Attributes:
        kind: Grafana's name of the type of panel.
        alert: whose runbook the panel links to.
        limits: from where on a value is bad; the last one is the worst.
        is_better_high: whether values below the limits are bad, and the first one is the worst.
        is_traced: whether the series have exemplars.
        is_instant: whether only the end of what is in view is asked for.
        defaults: what Grafana has of all fields, beyond unit, limits and links.
    """

    kind: Literal["timeseries", "stat", "table", "state-timeline"]
    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    height: int
    options: Mapping[str, Any]
    alert: str = ""
    limits: tuple[float, ...] = ()
    is_traced: bool = False
    is_better_high: bool = False
    is_instant: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def written(self, parameters: Parameters, number: int, grid: Json) -> Json:
        """Return the panel as Grafana reads it."""
        panel: Json = {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": DATASOURCE,
            "gridPos": grid,
            "targets": [
                self._target(query, refers) for query, refers in zip(self.queries, ascii_uppercase, strict=False)
            ],
            "options": dict(self.options),
            "fieldConfig": {"defaults": self._fields(parameters), "overrides": self._overrides(parameters)},
        }
        if self.kind == "table":
            panel["transformations"] = _one_table([query.legend for query in self.queries])
        return panel

    def _target(self, query: Query, refers: str) -> Json:
        return {
            "datasource": DATASOURCE,
            "editorMode": "code",
            "exemplar": self.is_traced,
            "expr": query.expr,
            "format": "table" if self.kind == "table" else "time_series",
            "instant": self.is_instant,
            "legendFormat": query.legend,
            "range": not self.is_instant,
            "refId": refers,
        }

    def _fields(self, parameters: Parameters) -> Json:
        colors = ["green", *["orange"] * (len(self.limits) - 1), "red"] if self.limits else ["green"]
        if self.is_better_high:
            colors.reverse()
        steps = [{"color": color, "value": at} for color, at in zip(colors, (None, *self.limits), strict=True)]
        fields: Json = {"unit": self.unit, "thresholds": {"mode": "absolute", "steps": steps}, **self.defaults}
        if self.alert:
            fields["links"] = [_link(f"Runbook of {self.alert}", parameters.runbook(self.alert))]
        return fields

    def _overrides(self, parameters: Parameters) -> list[Json]:
        overrides = [
            {"matcher": {"id": "byName", "options": query.legend}, "properties": [{"id": "unit", "value": query.unit}]}
            for query in self.queries
            if query.unit
        ]
        if self.is_traced and parameters.trace_url:
            # Grafana 13.2 and later apply it; for earlier ones the data source has the link.
            exemplar = {"id": "byName", "options": "trace_id", "scope": "exemplar"}
            link = _link("Open the trace", parameters.trace_url)
            overrides.append({"matcher": exemplar, "properties": [{"id": "links", "value": [link]}]})
        return overrides


def _link(title: str, url: str) -> Json:
    return {"title": title, "url": url, "targetBlank": True}


def _one_table(headings: list[str]) -> list[Json]:
    # Grafana calls the value of the only query "Value", and that of one among others "Value #A".
    named = {f"Value #{refers}": heading for refers, heading in zip(ascii_uppercase, headings, strict=False)}
    if len(headings) == 1:
        named = {"Value": headings[0]}
    return [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": {"Time": True}, "indexByName": {}, "renameByName": named}},
    ]


__all__ = ["DATASOURCE", "Json", "Panel", "Query"]
