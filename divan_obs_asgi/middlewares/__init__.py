"""The middlewares, one file each. Every one works alone and in any order."""

from divan_obs_asgi.middlewares.access_log import AccessLogMiddleware
from divan_obs_asgi.middlewares.context import ContextMiddleware
from divan_obs_asgi.middlewares.metrics import MetricsMiddleware
from divan_obs_asgi.middlewares.ops import OpsMiddleware
from divan_obs_asgi.middlewares.quiet_paths import QuietPathsMiddleware
from divan_obs_asgi.middlewares.redaction import RedactionMiddleware
from divan_obs_asgi.middlewares.request_id import RequestIdMiddleware
from divan_obs_asgi.middlewares.tracing import TracingMiddleware

__all__ = [
    "AccessLogMiddleware",
    "ContextMiddleware",
    "MetricsMiddleware",
    "OpsMiddleware",
    "QuietPathsMiddleware",
    "RedactionMiddleware",
    "RequestIdMiddleware",
    "TracingMiddleware",
]


def __getattr__(name: str) -> object:
    """Import `ContribTracingMiddleware` where somebody asks for it: it needs OpenTelemetry."""
    if name != "ContribTracingMiddleware":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from divan_obs_asgi.middlewares.contrib_tracing import ContribTracingMiddleware
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        raise ImportError(
            "ContribTracingMiddleware needs opentelemetry-instrumentation-asgi: "
            "pip install 'divan-obs-asgi[tracing-clients]'."
        ) from None
    return ContribTracingMiddleware
