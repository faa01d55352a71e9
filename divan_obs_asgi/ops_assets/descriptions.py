"""What each exported file is, in a sentence."""

from __future__ import annotations

from fnmatch import fnmatchcase

# The first pattern that matches.
_DESCRIPTIONS = {
    "prometheus/rules-phase8.yml": "Recording rules and alerts for Prometheus.",
    "prometheus/prometheus.yml": "Configuration of Prometheus: scrapes, rules, Alertmanager.",
    "alertmanager/alertmanager.yml": "Configuration of Alertmanager: routes of pages and tickets.",
    "collector/otel-collector.yml": "Configuration of the OpenTelemetry Collector.",
    "grafana/provisioning/datasources/*": "Data sources of Grafana.",
    "grafana/provisioning/dashboards/*": "Where Grafana finds the dashboards.",
    "grafana/dashboards/*": "A dashboard for Grafana.",
    "compose.yml": "The service, its stores and what observes it, on one machine.",
    "kubernetes/deployment.yml": "Deployment with probes and drain.",
    "kubernetes/service.yml": "Service.",
    "kubernetes/poddisruptionbudget.yml": "How many pods may be away at once.",
    "kubernetes/servicemonitor.yml": "What the Prometheus operator scrapes.",
    "kubernetes/prometheusrule.yml": "The rules for the Prometheus operator.",
    "runbooks/*": "What to do when this alert fires.",
    "k6/lib.js": "What the load tests share.",
    "k6/socketio.js": "A Socket.IO client for k6.",
    "k6/*": "A load test for k6.",
}


def description(path: str) -> str:
    """Return what the file at `path` is."""
    return next(text for pattern, text in _DESCRIPTIONS.items() if fnmatchcase(path, pattern))


__all__ = ["description"]
