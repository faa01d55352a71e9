"""What the Prometheus operator reads: which pods are scraped, and the rules."""

from __future__ import annotations

from collections.abc import Mapping

from divan_obs_asgi.ops_assets.deployment import service
from divan_obs_asgi.ops_assets.deployment.workload import labels, metadata
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.rules import rules
from divan_obs_asgi.ops_assets.yaml_text import Value, dump

_HEAD = """\
Not run by divan-obs-asgi: its tests check it against the operator's schema, and no cluster.
A Prometheus whose selectors ask for a label, like `release`, needs it in metadata.labels."""


def files(parameters: Parameters) -> Mapping[str, str]:
    """Return a file for each object."""
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
    # The name of the Service otherwise, and the rules know no other job. Prometheus reads $1 as a group of the match.
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
