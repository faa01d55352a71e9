"""The values that the deployment files share: names, ports, paths and durations."""

from __future__ import annotations

import re

from divan_obs_asgi.ops_assets.parameters import Parameters

PORT = 8000
METRICS_PATH = "/metrics"
LIVE_PATH = "/health/live"
READY_PATH = "/health/ready"
STARTUP_PATH = "/health/startup"
DRAIN_PATH = "/ops/drain"

# A load balancer removes an instance after READY_PERIOD_S * READY_FAILURES seconds; the drain lasts longer than that.
READY_PERIOD_S = 2
READY_FAILURES = 2
DRAIN_DELAY_S = 8
# The drain, 30 s for the longest request, and 7 s in which the application closes its connections.
GRACE_S = DRAIN_DELAY_S + 30 + 7

# The name of the secret in Kubernetes and compose. Prometheus sends its value as a bearer token.
TOKEN = "admin-token"
TOKEN_FILE = "/run/secrets/admin-token"

COLLECTOR_GRPC_PORT = 4317
COLLECTOR_HTTP_PORT = 4318
COLLECTOR_HEALTH_PORT = 13133
PROMETHEUS_PORT = 9090
ALERTMANAGER_PORT = 9093
GRAFANA_PORT = 3000


def object_name(parameters: Parameters) -> str:
    """Return the job as a Kubernetes name: at most 40 lower-case letters, digits and `-` (RFC 1123)."""
    name = re.sub(r"[^a-z0-9]+", "-", parameters.job.lower()).strip("-")[:40].strip("-")
    # The name of a Service must begin with a letter (RFC 1035).
    return name if name[:1].isalpha() else f"service-{name}".strip("-")


def environment(parameters: Parameters) -> dict[str, str]:
    """Return the flags that every deployment sets, except the token."""
    return {
        "OBS_ENV": "prod",
        "OBS_NAMESPACE": parameters.namespace,
        "OBS_SERVICE_NAME": object_name(parameters),
        "OBS_DRAIN_DELAY_S": str(DRAIN_DELAY_S),
        "OBS_TRACING_ENABLED": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"grpc://otel-collector:{COLLECTOR_GRPC_PORT}",
    }


__all__ = [
    "ALERTMANAGER_PORT",
    "COLLECTOR_GRPC_PORT",
    "COLLECTOR_HEALTH_PORT",
    "COLLECTOR_HTTP_PORT",
    "DRAIN_DELAY_S",
    "DRAIN_PATH",
    "GRACE_S",
    "GRAFANA_PORT",
    "LIVE_PATH",
    "METRICS_PATH",
    "PORT",
    "PROMETHEUS_PORT",
    "READY_FAILURES",
    "READY_PATH",
    "READY_PERIOD_S",
    "STARTUP_PATH",
    "TOKEN",
    "TOKEN_FILE",
    "environment",
    "object_name",
]
