"""Prometheus metrics: the catalogue of families, and the governed registry that holds them."""

from divan_obs_asgi.metrics.cardinality import Cardinality
from divan_obs_asgi.metrics.catalogue import FAMILIES
from divan_obs_asgi.metrics.domain import Domain
from divan_obs_asgi.metrics.family import Family, Metric
from divan_obs_asgi.metrics.governor import OVERFLOW
from divan_obs_asgi.metrics.known import KnownSeries
from divan_obs_asgi.metrics.negotiation import OPENMETRICS, accepted_format, accepted_media_type, accepts_gzip
from divan_obs_asgi.metrics.page import Pages
from divan_obs_asgi.metrics.registry import NAMESPACE, Metrics
from divan_obs_asgi.metrics.rendering import Format
from divan_obs_asgi.metrics.traffic import HttpTraffic, Traffic, WebSocketTraffic

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
    "KnownSeries",
    "Metric",
    "Metrics",
    "Pages",
    "Traffic",
    "WebSocketTraffic",
    "accepted_format",
    "accepted_media_type",
    "accepts_gzip",
]
