"""Prometheus metrics: the catalogue of families, and a registry that limits their label sets."""

from divan_obs_asgi.metrics.cardinality import Cardinality
from divan_obs_asgi.metrics.cardinality_limit import OVERFLOW
from divan_obs_asgi.metrics.catalogue import FAMILIES
from divan_obs_asgi.metrics.domain import Domain
from divan_obs_asgi.metrics.exposition.negotiation import (
    OPENMETRICS,
    accepted_format,
    accepted_media_type,
    accepts_gzip,
)
from divan_obs_asgi.metrics.exposition.page import Pages
from divan_obs_asgi.metrics.exposition.text import Format
from divan_obs_asgi.metrics.family import Family, Metric
from divan_obs_asgi.metrics.registry import NAMESPACE, Metrics
from divan_obs_asgi.metrics.traffic import HttpTraffic, Traffic, WebSocketTraffic
from divan_obs_asgi.metrics.zero_series import ZeroSeries

__all__ = [
    "FAMILIES",
    "NAMESPACE",
    "OPENMETRICS",
    "OVERFLOW",
    "Cardinality",
    "Domain",
    "Family",
    "Format",
    "HttpTraffic",
    "Metric",
    "Metrics",
    "Pages",
    "Traffic",
    "WebSocketTraffic",
    "ZeroSeries",
    "accepted_format",
    "accepted_media_type",
    "accepts_gzip",
]
