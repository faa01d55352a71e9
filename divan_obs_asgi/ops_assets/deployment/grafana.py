"""The provisioning of Grafana: its data sources and the folder of the dashboards."""

from __future__ import annotations

from collections.abc import Mapping

from divan_obs_asgi.ops_assets.deployment.service import ALERTMANAGER_PORT, PROMETHEUS_PORT
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.yaml_text import Value, dump

_HEAD = "Not run by the tests of divan-obs-asgi: no Grafana server was available. Grafana 12 or later."
# The path where compose.yml mounts the dashboards.
DASHBOARDS = "/etc/grafana/dashboards"


def files(parameters: Parameters) -> Mapping[str, str]:
    """Return both provisioning files."""
    return {
        "grafana/provisioning/dashboards/dashboards.yml": dump(_dashboards(parameters), _HEAD),
        "grafana/provisioning/datasources/datasources.yml": dump(_data_sources(parameters), _HEAD),
    }


def _dashboards(parameters: Parameters) -> Value:
    provider: Value = {
        "name": parameters.namespace,
        "folder": _literal(parameters.job),
        "type": "file",
        "disableDeletion": True,
        "allowUiUpdates": False,
        "updateIntervalSeconds": 30,
        "options": {"path": DASHBOARDS},
    }
    return {"apiVersion": 1, "providers": [provider]}


def _data_sources(parameters: Parameters) -> Value:
    settings: dict[str, Value] = {"httpMethod": "POST", "timeInterval": "15s"}
    if parameters.trace_url:
        link: Value = {"name": "trace_id", "url": _literal(parameters.trace_url), "urlDisplayLabel": "Open the trace"}
        settings["exemplarTraceIdDestinations"] = [link]
    prometheus: Value = {
        "name": "Prometheus",
        "uid": "prometheus",
        "type": "prometheus",
        "access": "proxy",
        "url": f"http://prometheus:{PROMETHEUS_PORT}",
        "isDefault": True,
        "jsonData": settings,
    }
    alertmanager: Value = {
        "name": "Alertmanager",
        "uid": "alertmanager",
        "type": "alertmanager",
        "access": "proxy",
        "url": f"http://alertmanager:{ALERTMANAGER_PORT}",
        "jsonData": {"implementation": "prometheus"},
    }
    return {"apiVersion": 1, "datasources": [prometheus, alertmanager]}


def _literal(text: str) -> str:
    # In provisioning files Grafana expands $NAME to an environment variable, and reads $$ as $.
    return text.replace("$", "$$")


__all__ = ["DASHBOARDS", "files"]
