"""The objects for the Prometheus operator: ServiceMonitor and PrometheusRule."""

from __future__ import annotations

from collections.abc import Mapping

from divan_obs_asgi.ops_assets.deployment import service
from divan_obs_asgi.ops_assets.deployment.workload import labels, metadata
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.rules import rules
from divan_obs_asgi.ops_assets.yaml_text import Value, dump

_HEAD = """\
Not run by the tests of divan-obs-asgi: they check this file against the operator's schema, not in a cluster.
If your Prometheus selects objects by a label, such as `release`, add it to metadata.labels."""


def files(parameters: Parameters) -> Mapping[str, str]:
    """Return one file for each object."""
    return {
        "kubernetes/prometheusrule.yml": dump(_rule(parameters), _HEAD),
        "kubernetes/servicemonitor.yml": dump(_monitor(parameters), _HEAD),
    }


def _rule(parameters: Parameters) -> Value:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": metadata(parameters),
        "spec": rules(parameters).written(parameters),
    }


def _monitor(parameters: Parameters) -> Value:
    secret = {"name": f"{service.object_name(parameters)}-obs", "key": service.TOKEN}
    # Without this the job would be the name of the Service, which the rules do not select. Prometheus reads $1 as a
    # regex group, so $ is doubled.
    job = {"action": "replace", "targetLabel": "job", "replacement": parameters.job.replace("$", "$$")}
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": metadata(parameters),
        "spec": {
            "selector": {"matchLabels": labels(parameters)},
            "endpoints": [
                {
                    "port": "http",
                    "path": service.METRICS_PATH,
                    "interval": "15s",
                    "scrapeTimeout": "10s",
                    "authorization": {"type": "Bearer", "credentials": secret},
                    "relabelings": [job],
                }
            ],
        },
    }


__all__ = ["files"]
