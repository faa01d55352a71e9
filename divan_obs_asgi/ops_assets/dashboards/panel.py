"""The data model of a panel: its question, its queries and its display options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from string import ascii_uppercase
from typing import Any, Literal, TypeAlias

from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.promql import Vector

Json: TypeAlias = dict[str, Any]

# The uid is a variable. A fixed uid fails if the data source has another uid in the Grafana that loads the dashboard.
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, slots=True)
class Query:
    """
    A query of a panel.

    Attributes:
        legend: the name of its series, in which `{{route}}` is a label; the column heading in a table.
        unit: the unit of the column in a table.
    """

    expr: Vector
    legend: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """
    A panel of a dashboard.

    Attributes:
        kind: the panel type in Grafana.
        alerts: the alerts whose runbooks the panel links to.
        limits: values from these limits upwards are bad; the last limit is the worst.
        is_better_high: whether values below the limits are bad instead; the first limit is then the worst.
        is_traced: whether the series have exemplars.
        is_instant: whether the query is evaluated only at the end of the time range.
        defaults: further defaults of all fields, besides unit, limits and links.
    """

    kind: Literal["timeseries", "stat", "table", "state-timeline"]
    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    height: int
    options: Mapping[str, Any]
    alerts: tuple[str, ...] = ()
    limits: tuple[float, ...] = ()
    is_traced: bool = False
    is_better_high: bool = False
    is_instant: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def written(self, parameters: Parameters, number: int, grid: Json) -> Json:
        """Return the panel as the JSON that Grafana loads."""
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
        if self.alerts:
            fields["links"] = [_link(f"Runbook of {alert}", parameters.runbook(alert)) for alert in self.alerts]
        return fields

    def _overrides(self, parameters: Parameters) -> list[Json]:
        overrides = [
            {"matcher": {"id": "byName", "options": query.legend}, "properties": [{"id": "unit", "value": query.unit}]}
            for query in self.queries
            if query.unit
        ]
        if self.is_traced and parameters.trace_url:
            # Grafana 13.2 and later apply this link. Earlier versions take it from the data source.
            exemplar = {"id": "byName", "options": "trace_id", "scope": "exemplar"}
            link = _link("Open the trace", parameters.trace_url)
            overrides.append({"matcher": exemplar, "properties": [{"id": "links", "value": [link]}]})
        return overrides


def _link(title: str, url: str) -> Json:
    return {"title": title, "url": url, "targetBlank": True}


def _one_table(headings: list[str]) -> list[Json]:
    # Grafana names the column "Value" if there is one query, and "Value #A", "Value #B" if there are several.
    named = {f"Value #{refers}": heading for refers, heading in zip(ascii_uppercase, headings, strict=False)}
    if len(headings) == 1:
        named = {"Value": headings[0]}
    return [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": {"Time": True}, "indexByName": {}, "renameByName": named}},
    ]


__all__ = ["DATASOURCE", "Json", "Panel", "Query"]
