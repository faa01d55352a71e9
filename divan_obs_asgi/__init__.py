"""
Observability for ASGI services: request ids, traces, metrics, logs, redaction, health.

    import divan_obs_asgi as obs

    obs.init(app)          # Starlette, FastAPI
    app = obs.wrap(app)    # any other ASGI application
"""

from divan_obs_asgi import middlewares, probes, socketio_ext
from divan_obs_asgi.connection.event import EventRecord
from divan_obs_asgi.connection.operations import fail, operation
from divan_obs_asgi.connection.request import RequestRecord
from divan_obs_asgi.connection.threads import CarryingExecutor, carry
from divan_obs_asgi.exceptions import ImproperlyConfigured, MiddlewareNotUsed, ObservabilityError, ProbeFailed
from divan_obs_asgi.logs.loguru_bridge import loguru_handler
from divan_obs_asgi.middlewares.base import RecordMiddleware
from divan_obs_asgi.observability import Observability, logger
from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.settings import Settings
from divan_obs_asgi.stack.build import build_stack
from divan_obs_asgi.stack.install import init, wrap
from divan_obs_asgi.tracing.spans.internal import background, span, traced
from divan_obs_asgi.version import __version__

__all__ = [
    "CarryingExecutor",
    "EventRecord",
    "ImproperlyConfigured",
    "MiddlewareNotUsed",
    "Observability",
    "ObservabilityError",
    "ProbeFailed",
    "RecordMiddleware",
    "RedactionPolicy",
    "RequestRecord",
    "Settings",
    "__version__",
    "background",
    "build_stack",
    "carry",
    "fail",
    "init",
    "logger",
    "loguru_handler",
    "middlewares",
    "operation",
    "probes",
    "socketio_ext",
    "span",
    "traced",
    "wrap",
]
