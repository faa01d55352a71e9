"""Prometheus metrics: the catalogue of families, and the registry that holds them."""

from divan_obs_asgi.metrics.catalogue import FAMILIES, Family
from divan_obs_asgi.metrics.registry import CONTENT_TYPE, NAMESPACE, Metric, Metrics

__all__ = ["CONTENT_TYPE", "FAMILIES", "NAMESPACE", "Family", "Metric", "Metrics"]
