"""Prometheus metrics: the catalogue of families, and the governed registry that holds them."""

from divan_obs_asgi.metrics.catalogue import FAMILIES
from divan_obs_asgi.metrics.family import Family, Metric
from divan_obs_asgi.metrics.governor import OVERFLOW
from divan_obs_asgi.metrics.registry import CONTENT_TYPE, NAMESPACE, Metrics

__all__ = ["CONTENT_TYPE", "FAMILIES", "NAMESPACE", "OVERFLOW", "Family", "Metric", "Metrics"]
