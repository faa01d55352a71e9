"""A dashboard: rows of panels, and variables for the data source, the job and the instance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from divan_obs_asgi.metrics.catalogue import Catalogue
from divan_obs_asgi.ops_assets.dashboards.panel import DATASOURCE, Json, Panel
from divan_obs_asgi.ops_assets.dashboards.queries import chosen
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.promql import Series, Vector, ago, highest, lines

# The dashboard schema version of Grafana 11.6. Later versions of Grafana migrate it when they load it.
_SCHEMA = 41
_COLUMNS = 24
_ALL = {"selected": True, "text": ["All"], "value": ["$__all"]}


@dataclass(frozen=True, slots=True)
class Board:
    """
    A dashboard.

    Attributes:
        name: the name of the file; `Parameters.dashboard_uid` derives the uid from it.
        description: the question that the dashboard answers.
        rows: rows of panels; the panels of a row have the same width.
        since: the start of the default time range, in Grafana's syntax.
    """

    name: str
    title: str
    description: str
    rows: tuple[tuple[Panel, ...], ...]
    since: str = "now-1h"

    @property
    def panels(self) -> list[Panel]:
        """The panels of all rows."""
        return [panel for row in self.rows for panel in row]

    def written(self, parameters: Parameters) -> Json:
        """Return the dashboard as the JSON that Grafana loads."""
        tag = f"{parameters.namespace}-obs"
        return {
            "annotations": {"list": list(_annotations(parameters))},
            "description": self.description,
            "editable": False,
            "graphTooltip": 1,
            "id": None,
            "links": [_others(tag)],
            "panels": list(self._placed(parameters)),
            "refresh": "30s",
            "schemaVersion": _SCHEMA,
            "tags": [tag],
            "templating": {"list": _variables(parameters)},
            "time": {"from": self.since, "to": "now"},
            "timezone": "browser",
            "title": f"{parameters.namespace}: {self.title}",
            "uid": parameters.dashboard_uid(self.name),
        }

    def _placed(self, parameters: Parameters) -> Iterator[Json]:
        number = y = 0
        for row in self.rows:
            width, height = _COLUMNS // len(row), max(panel.height for panel in row)
            for at, panel in enumerate(row):
                number += 1
                yield panel.written(parameters, number, {"h": height, "w": width, "x": at * width, "y": y})
            y += height


def _variables(parameters: Parameters) -> list[Json]:
    runs = Series.of(parameters).name(Catalogue.build_info)
    job = {"selected": True, "text": [parameters.job], "value": [parameters.job]}
    return [
        {"label": "Data source", "name": "datasource", "query": "prometheus", "type": "datasource"},
        _label("job", f"label_values({runs}, job)", job),
        _label("instance", f'label_values({runs}{{job=~"$job"}}, instance)', _ALL),
    ]


def _label(name: str, query: str, current: Json) -> Json:
    return {
        "allValue": ".+",
        "current": current,
        "datasource": DATASOURCE,
        "includeAll": True,
        "label": name.title(),
        "multi": True,
        "name": name,
        "query": {"query": query, "refId": name},
        # 2: on a change of the time range. An instance that is gone stays selectable while the time range includes it.
        "refresh": 2,
        "sort": 1,
        "type": "query",
    }


def _annotations(parameters: Parameters) -> Iterator[Json]:
    series = chosen(parameters)
    runs = series.gauge(Catalogue.build_info)
    by = ("job", "service_version", "commit")
    began = lines(highest(runs, *by), f"unless {highest(ago(runs, '5m'), *by)}")
    yield _annotation("Deploys", "blue", began, "{{job}} runs {{service_version}} {{commit}}")
    drains = Vector(f"{highest(series.gauge(Catalogue.draining), 'job', 'instance')} > 0")
    yield _annotation("Drains", "orange", drains, "{{instance}} of {{job}} drains")


def _annotation(name: str, color: str, expr: Vector, title: str) -> Json:
    return {
        "datasource": DATASOURCE,
        "enable": True,
        "iconColor": color,
        "name": name,
        "target": {"expr": expr, "refId": name},
        "titleFormat": title,
    }


def _others(tag: str) -> Json:
    return {
        "asDropdown": True,
        "icon": "external link",
        "includeVars": True,
        "keepTime": True,
        "tags": [tag],
        "targetBlank": False,
        "title": "Other dashboards",
        "tooltip": "",
        "type": "dashboards",
    }


__all__ = ["Board"]
