"""The middlewares, one file each. Every one works alone and in any order."""

from divan_obs_asgi.middlewares.access_log import AccessLogMiddleware
from divan_obs_asgi.middlewares.context import ContextMiddleware
from divan_obs_asgi.middlewares.metrics import MetricsMiddleware
from divan_obs_asgi.middlewares.ops import OpsMiddleware
from divan_obs_asgi.middlewares.redaction import RedactionMiddleware
from divan_obs_asgi.middlewares.request_id import RequestIdMiddleware
from divan_obs_asgi.middlewares.tracing import TracingMiddleware

__all__ = [
    "AccessLogMiddleware",
    "ContextMiddleware",
    "MetricsMiddleware",
    "OpsMiddleware",
    "RedactionMiddleware",
    "RequestIdMiddleware",
    "TracingMiddleware",
]
