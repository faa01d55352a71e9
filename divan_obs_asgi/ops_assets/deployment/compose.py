"""A compose file with the service, its databases and the monitoring, for one machine."""

from __future__ import annotations

from collections.abc import Mapping

from divan_obs_asgi.ops_assets.deployment import service
from divan_obs_asgi.ops_assets.deployment.grafana import DASHBOARDS
from divan_obs_asgi.ops_assets.deployment.service import TOKEN, TOKEN_FILE
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.yaml_text import Value, dump

_HEAD = """\
Not run by the tests of divan-obs-asgi: they check this file with docker-compose and against its schema.
Images are pinned by tag, not by digest. Ports are bound to 127.0.0.1. Set these in the environment or in .env:
  OBS_ADMIN_TOKEN     the token for /metrics and /ops
  POSTGRES_PASSWORD   letters and digits
  GRAFANA_PASSWORD    the password of Grafana's user admin
  BACKEND_IMAGE       your image, with divan-obs-asgi installed and serving on 0.0.0.0:8000; or
  BACKEND_CONTEXT     a clone of divan-obs-asgi, from which the reference backend is built
The image of the collector has no shell, so it has no health check here. Its health endpoint is on port 13133."""

_DOCKERFILE = """\
FROM python:3.13-slim
WORKDIR /srv
COPY . .
RUN pip install --no-cache-dir '.[example]'
USER nobody
CMD ["python", "-m", "examples.divan"]"""


def files(parameters: Parameters) -> Mapping[str, str]:
    """Return the compose file."""
    return {"compose.yml": dump(_compose(parameters), _HEAD)}


def _compose(parameters: Parameters) -> Value:
    return {
        "name": service.object_name(parameters),
        "services": {
            "backend": _backend(parameters),
            "redis": {
                "image": "redis:7.4.2-alpine",
                **_healthy("redis-cli", "ping"),
                "restart": "unless-stopped",
            },
            "postgres": {
                "image": "postgres:17.5-alpine",
                "environment": {
                    "POSTGRES_USER": "app",
                    "POSTGRES_DB": "app",
                    "POSTGRES_PASSWORD": _needed("POSTGRES_PASSWORD"),
                },
                "volumes": ["postgres:/var/lib/postgresql/data"],
                **_healthy("pg_isready", "--username=app", "--dbname=app"),
                "restart": "unless-stopped",
            },
            "otel-collector": {
                "image": "otel/opentelemetry-collector:0.128.0",
                "command": ["--config=/etc/otel-collector.yml"],
                "volumes": ["./collector/otel-collector.yml:/etc/otel-collector.yml:ro"],
                "ports": [_local(service.COLLECTOR_GRPC_PORT), _local(service.COLLECTOR_HEALTH_PORT)],
                "restart": "unless-stopped",
            },
            **_observers(),
        },
        "secrets": {TOKEN: {"environment": "OBS_ADMIN_TOKEN"}},
        "volumes": {"postgres": {}, "prometheus": {}, "grafana": {}},
    }


def _backend(parameters: Parameters) -> Value:
    flags = {
        **service.environment(parameters),
        "OBS_ADMIN_TOKEN": _needed("OBS_ADMIN_TOKEN"),
        "HOST": "0.0.0.0",
        "PORT": str(service.PORT),
        "REDIS_URL": "redis://redis:6379/0",
        "DATABASE_URL": f"postgresql://app:{_needed('POSTGRES_PASSWORD')}@postgres:5432/app",
        "JWT_SECRET": "${JWT_SECRET:-}",
    }
    return {
        "image": "${BACKEND_IMAGE:-divan-backend:local}",
        "build": {"context": "${BACKEND_CONTEXT:-.}", "dockerfile_inline": _DOCKERFILE},
        "environment": flags,
        "ports": [_local(service.PORT)],
        "depends_on": {
            "redis": {"condition": "service_healthy"},
            "postgres": {"condition": "service_healthy"},
            "otel-collector": {"condition": "service_started"},
        },
        **_healthy("divan-obs", "probe", f"http://127.0.0.1:{service.PORT}{service.READY_PATH}"),
        "stop_grace_period": f"{service.GRACE_S}s",
        "restart": "unless-stopped",
    }


def _observers() -> dict[str, Value]:
    return {
        "prometheus": {
            "image": "prom/prometheus:v3.5.0",
            "command": [
                "--config.file=/etc/prometheus/prometheus.yml",
                "--storage.tsdb.path=/prometheus",
                "--enable-feature=exemplar-storage",
            ],
            "volumes": ["./prometheus:/etc/prometheus:ro", "prometheus:/prometheus"],
            "secrets": [{"source": TOKEN, "target": TOKEN_FILE}],
            "ports": [_local(service.PROMETHEUS_PORT)],
            **_healthy("wget", "-q", "-O-", f"http://127.0.0.1:{service.PROMETHEUS_PORT}/-/healthy"),
            "restart": "unless-stopped",
        },
        "alertmanager": {
            "image": "prom/alertmanager:v0.28.1",
            "command": ["--config.file=/etc/alertmanager/alertmanager.yml"],
            "volumes": ["./alertmanager:/etc/alertmanager:ro"],
            "ports": [_local(service.ALERTMANAGER_PORT)],
            **_healthy("wget", "-q", "-O-", f"http://127.0.0.1:{service.ALERTMANAGER_PORT}/-/healthy"),
            "restart": "unless-stopped",
        },
        "grafana": {
            "image": "grafana/grafana:12.0.2",
            "environment": {"GF_SECURITY_ADMIN_PASSWORD": _needed("GRAFANA_PASSWORD")},
            "volumes": [
                "./grafana/provisioning:/etc/grafana/provisioning:ro",
                f"./grafana/dashboards:{DASHBOARDS}:ro",
                "grafana:/var/lib/grafana",
            ],
            "ports": [_local(service.GRAFANA_PORT)],
            "depends_on": {"prometheus": {"condition": "service_healthy"}},
            **_healthy("wget", "-q", "-O-", f"http://127.0.0.1:{service.GRAFANA_PORT}/api/health"),
            "restart": "unless-stopped",
        },
    }


def _needed(name: str) -> str:
    return f"${{{name}:?set it in .env}}"


def _local(port: int) -> str:
    return f"127.0.0.1:{port}:{port}"


def _healthy(*command: str) -> dict[str, Value]:
    check: Value = {"test": ["CMD", *command], "interval": "5s", "timeout": "3s", "retries": 5, "start_period": "30s"}
    return {"healthcheck": check}


__all__ = ["files"]
