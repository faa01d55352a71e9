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
        is_traced: whether the series have exemplars.
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
        is_table = self.kind == "table"
        return {
            "datasource": DATASOURCE,
            "editorMode": "code",
            "exemplar": self.is_traced,
            "expr": query.expr,
            "format": "table" if is_table else "time_series",
            "instant": is_table,
            "legendFormat": query.legend,
            "range": not is_table,
            "refId": refers,
        }

    def _fields(self, parameters: Parameters) -> Json:
        worse = ["orange"] * (len(self.limits) - 1) + ["red"]
        steps: list[Json] = [{"color": "green", "value": None}]
        steps += [{"color": color, "value": limit} for color, limit in zip(worse, self.limits, strict=False)]
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


def timeseries(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    alert: str = "",
    limits: tuple[float, ...] = (),
    is_traced: bool = False,
    is_stacked: bool = False,
) -> Panel:
    """Draw how values change; limits are dashed lines."""
    drawn: Json = {"drawStyle": "line", "fillOpacity": 10, "lineWidth": 1, "showPoints": "auto", "spanNulls": False}
    if limits:
        drawn["thresholdsStyle"] = {"mode": "dashed"}
    if is_stacked:
        drawn["stacking"] = {"group": "A", "mode": "normal"}
    options = {
        "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    defaults = {"color": {"mode": "palette-classic"}, "custom": drawn}
    return Panel("timeseries", title, description, unit, queries, 8, options, alert, limits, is_traced, defaults)


def stat(
    title: str, description: str, unit: str, query: Query, *, alert: str = "", limits: tuple[float, ...] = ()
) -> Panel:
    """Show the last value, large, and how it came about."""
    options = {
        "colorMode": "value",
        "graphMode": "area",
        "justifyMode": "auto",
        "orientation": "auto",
        "percentChangeColorMode": "standard",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "showPercentChange": False,
        "textMode": "auto",
        "wideLayout": True,
    }
    defaults = {"color": {"mode": "thresholds"}}
    return Panel("stat", title, description, unit, (query,), 4, options, alert, limits, defaults=defaults)


def table(title: str, description: str, *columns: Query, alert: str = "") -> Panel:
    """List label sets, those with the highest value of the first column first; each column has its unit."""
    options = {"cellHeight": "sm", "showHeader": True, "sortBy": [{"desc": True, "displayName": columns[0].legend}]}
    return Panel("table", title, description, columns[0].unit, columns, 8, options, alert)


def timeline(title: str, description: str, *rows: Query, alert: str = "") -> Panel:
    """Show when something was well (1), and when it was not (0)."""
    options = {
        "alignValue": "left",
        "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": False},
        "mergeValues": True,
        "rowHeight": 0.8,
        "showValue": "never",
        "tooltip": {"mode": "single", "sort": "none"},
    }
    states = {
        "0": {"color": "red", "index": 1, "text": "not well"},
        "1": {"color": "green", "index": 0, "text": "well"},
    }
    defaults = {
        "color": {"mode": "thresholds"},
        "custom": {"fillOpacity": 80, "lineWidth": 0},
        "mappings": [{"options": states, "type": "value"}],
    }
    return Panel("state-timeline", title, description, "none", rows, 8, options, alert, defaults=defaults)


__all__ = ["DATASOURCE", "Json", "Panel", "Query", "stat", "table", "timeline", "timeseries"]
