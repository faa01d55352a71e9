"""A board: rows of panels below the choice of data source, job and instance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from divan_obs_asgi.metrics.catalogue import Catalogue
from divan_obs_asgi.ops_assets.dashboards.panel import DATASOURCE, Json, Panel
from divan_obs_asgi.ops_assets.dashboards.queries import chosen
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.promql import Series, Vector, ago, highest, lines

# The version of the format of dashboards that Grafana 11.6 writes; later ones migrate it when they load it.
_SCHEMA = 41
_COLUMNS = 24
_ALL = {"selected": True, "text": ["All"], "value": ["$__all"]}


@dataclass(frozen=True, slots=True)
class Board:
    """
    A dashboard.

    Attributes:
        name: of its file; `Parameters.dashboard_uid` makes its uid of it.
        description: the question that the whole board answers.
        rows: panels side by side, each as wide as the others.
        since: what it shows at first, as Grafana writes it.
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
        """Return the board as Grafana reads it."""
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
        # When the time range changes: an instance that is gone can be chosen as long as it is in view.
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
        "title": "Other boards",
        "tooltip": "",
        "type": "dashboards",
    }


__all__ = ["Board"]
