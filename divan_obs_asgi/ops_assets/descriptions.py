"""A one-sentence description of each exported file."""

from __future__ import annotations

from fnmatch import fnmatchcase

# The first matching pattern applies.
_DESCRIPTIONS = {
    "prometheus/rules-phase8.yml": "Recording rules and alerts for Prometheus.",
    "prometheus/prometheus.yml": "Configuration of Prometheus: scrapes, rules, Alertmanager.",
    "alertmanager/alertmanager.yml": "Configuration of Alertmanager: routes of pages and tickets.",
    "collector/otel-collector.yml": "Configuration of the OpenTelemetry Collector.",
    "grafana/provisioning/datasources/*": "Data sources of Grafana.",
    "grafana/provisioning/dashboards/*": "Configuration of Grafana: the folder of the dashboards.",
    "grafana/dashboards/*": "A dashboard for Grafana.",
    "compose.yml": "The service, its databases and the monitoring, on one machine.",
    "kubernetes/deployment.yml": "Deployment with probes and drain.",
    "kubernetes/service.yml": "Service.",
    "kubernetes/poddisruptionbudget.yml": "PodDisruptionBudget: at most one pod is unavailable.",
    "kubernetes/servicemonitor.yml": "Scrape configuration for the Prometheus operator.",
    "kubernetes/prometheusrule.yml": "The rules for the Prometheus operator.",
    "runbooks/*": "What to do when this alert fires.",
    "k6/lib.js": "Shared code of the load tests.",
    "k6/socketio.js": "A Socket.IO client for k6.",
    "k6/*": "A load test for k6.",
}


def description(path: str) -> str:
    """Return the description of the file at `path`."""
    return next(text for pattern, text in _DESCRIPTIONS.items() if fnmatchcase(path, pattern))


__all__ = ["description"]
