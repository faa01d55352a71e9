"""The objects of the service in Kubernetes: Deployment, Service and PodDisruptionBudget."""

from __future__ import annotations

from collections.abc import Mapping

from divan_obs_asgi.ops_assets.deployment import service
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.yaml_text import Value, dump

_HEAD = """\
Not run by the tests of divan-obs-asgi: they check this file against the Kubernetes schemas, not in a cluster.
Replace the image. The token is read from a Secret that you create:
  kubectl create secret generic {name}-obs --from-literal={token}="$(openssl rand -hex 32)\""""

# Starts the drain even if the server does not receive SIGTERM. Otherwise SIGTERM waits for the rest of the drain only.
# Proxies are disabled for the request to 127.0.0.1.
_PRE_STOP = f"""\
import os, urllib.request
headers = {{"Authorization": "Bearer " + os.environ["OBS_ADMIN_TOKEN"]}}
request = urllib.request.Request("http://127.0.0.1:{service.PORT}{service.DRAIN_PATH}", b"", headers)
urllib.request.build_opener(urllib.request.ProxyHandler({{}})).open(request, timeout=3).read()"""


def files(parameters: Parameters) -> Mapping[str, str]:
    """Return one file for each object."""
    head = _HEAD.format(name=service.object_name(parameters), token=service.TOKEN)
    return {
        "kubernetes/deployment.yml": dump(_deployment(parameters), head),
        "kubernetes/poddisruptionbudget.yml": dump(_disruption_budget(parameters)),
        "kubernetes/service.yml": dump(_service(parameters)),
    }


def labels(parameters: Parameters) -> dict[str, str]:
    """Return the labels by which the Service selects the pods, and Prometheus the Service."""
    return {"app.kubernetes.io/name": service.object_name(parameters)}


def metadata(parameters: Parameters) -> dict[str, Value]:
    """Return the name and the labels of an object."""
    return {"name": service.object_name(parameters), "labels": labels(parameters)}


def _deployment(parameters: Parameters) -> Value:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(parameters),
        "spec": {
            "replicas": 2,
            # An old pod is stopped only when a new one is ready.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "selector": {"matchLabels": labels(parameters)},
            "template": {"metadata": {"labels": labels(parameters)}, "spec": _pod(parameters)},
        },
    }


def _pod(parameters: Parameters) -> Value:
    return {
        # Long enough for the drain and the longest request.
        "terminationGracePeriodSeconds": service.GRACE_S,
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_container(parameters)],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }


def _container(parameters: Parameters) -> Value:
    secret = {"secretKeyRef": {"name": f"{service.object_name(parameters)}-obs", "key": service.TOKEN}}
    flags: list[Value] = [{"name": name, "value": value} for name, value in service.environment(parameters).items()]
    return {
        "name": service.object_name(parameters),
        "image": f"registry.example.com/{service.object_name(parameters)}:1.0.0",
        "ports": [{"name": "http", "containerPort": service.PORT}],
        "env": [*flags, {"name": "OBS_ADMIN_TOKEN", "valueFrom": secret}],
        # The other probes start after this one has succeeded: the service has two minutes to start.
        "startupProbe": _probe(service.STARTUP_PATH, 2, 60),
        "livenessProbe": _probe(service.LIVE_PATH, 10, 3),
        "readinessProbe": _probe(service.READY_PATH, service.READY_PERIOD_S, service.READY_FAILURES),
        "lifecycle": {"preStop": {"exec": {"command": ["python", "-c", _PRE_STOP]}}},
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }


def _probe(path: str, period_s: int, failures: int) -> Value:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": period_s,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    }


def _service(parameters: Parameters) -> Value:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(parameters),
        "spec": {
            "selector": labels(parameters),
            "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
        },
    }


def _disruption_budget(parameters: Parameters) -> Value:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(parameters),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": labels(parameters)}},
    }


__all__ = ["files", "labels", "metadata"]
