"""The configuration of the OpenTelemetry Collector, between the service and the trace store."""

from __future__ import annotations

from collections.abc import Mapping

from divan_obs_asgi.ops_assets.deployment.service import (
    COLLECTOR_GRPC_PORT,
    COLLECTOR_HEALTH_PORT,
    COLLECTOR_HTTP_PORT,
)
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.yaml_text import Value, dump

_HEAD = """\
Not run by the tests of divan-obs-asgi: no OpenTelemetry Collector was available. The tests only compare the names with
the documentation. Check the file with `otelcol validate --config=otel-collector.yml`. Spans are only
counted in the collector's log until you replace the exporter `debug`, for example with `otlp` and the endpoint of
your store."""


def files(_: Parameters) -> Mapping[str, str]:
    """Return the configuration."""
    return {"collector/otel-collector.yml": dump(_configuration(), _HEAD)}


def _configuration() -> Value:
    return {
        "extensions": {"health_check": {"endpoint": f"0.0.0.0:{COLLECTOR_HEALTH_PORT}"}},
        "receivers": {
            "otlp": {
                "protocols": {
                    "grpc": {"endpoint": f"0.0.0.0:{COLLECTOR_GRPC_PORT}"},
                    "http": {"endpoint": f"0.0.0.0:{COLLECTOR_HTTP_PORT}"},
                }
            }
        },
        "processors": {
            # First in each pipeline: without memory it refuses spans, and the service keeps them in its queue.
            "memory_limiter": {"check_interval": "1s", "limit_percentage": 80, "spike_limit_percentage": 25},
            "batch": {"timeout": "5s", "send_batch_size": 512},
        },
        "exporters": {"debug": {"verbosity": "basic"}},
        "service": {
            "extensions": ["health_check"],
            "pipelines": {
                "traces": {
                    "receivers": ["otlp"],
                    "processors": ["memory_limiter", "batch"],
                    "exporters": ["debug"],
                }
            },
        },
    }


__all__ = ["files"]
