"""The configuration of Prometheus: scrapes, rules and Alertmanager."""

from __future__ import annotations

from collections.abc import Mapping

from divan_obs_asgi.ops_assets.deployment.service import ALERTMANAGER_PORT, METRICS_PATH, PORT, TOKEN_FILE
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.yaml_text import Value, dump

_HEAD = f"""\
Prometheus 2.42 or later. Start it with --enable-feature=exemplar-storage: exemplars link a latency to its trace.
{TOKEN_FILE} contains the service's OBS_ADMIN_TOKEN. `promtool check config --syntax-only` does not need that file.
Prometheus requests the OpenMetrics format by default; only that format has exemplars."""


def files(parameters: Parameters) -> Mapping[str, str]:
    """Return the configuration."""
    return {"prometheus/prometheus.yml": dump(_configuration(parameters), _HEAD)}


def _configuration(parameters: Parameters) -> Value:
    return {
        "global": {"scrape_interval": "15s", "scrape_timeout": "10s", "evaluation_interval": "15s"},
        "rule_files": ["rules-phase8.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"alertmanager:{ALERTMANAGER_PORT}"]}]}]},
        "scrape_configs": [
            {
                "job_name": parameters.job,
                "metrics_path": METRICS_PATH,
                "authorization": {"type": "Bearer", "credentials_file": TOKEN_FILE},
                "static_configs": [{"targets": [f"backend:{PORT}"]}],
            }
        ],
        "storage": {"exemplars": {"max_exemplars": 100_000}},
    }


__all__ = ["files"]
