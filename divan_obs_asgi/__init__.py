"""
Observability for ASGI services: request ids, traces, metrics, logs, redaction, health.

    import divan_obs_asgi as obs

    obs.init(app)          # Starlette, FastAPI
    app = obs.wrap(app)    # any other ASGI application
"""

from typing import TYPE_CHECKING

from divan_obs_asgi.lazy_names import lazy_names as _lazy_names

if TYPE_CHECKING:
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
    from divan_obs_asgi.tracing.spans.global_spans import background, span, traced
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

# The import of the package is cheap; `init` and `wrap` load what the flags need.
__getattr__ = _lazy_names(
    __name__,
    {
        __name__: ("middlewares", "probes", "socketio_ext"),
        "divan_obs_asgi.connection.event": ("EventRecord",),
        "divan_obs_asgi.connection.operations": ("fail", "operation"),
        "divan_obs_asgi.connection.request": ("RequestRecord",),
        "divan_obs_asgi.connection.threads": ("CarryingExecutor", "carry"),
        "divan_obs_asgi.exceptions": ("ImproperlyConfigured", "MiddlewareNotUsed", "ObservabilityError", "ProbeFailed"),
        "divan_obs_asgi.logs.loguru_bridge": ("loguru_handler",),
        "divan_obs_asgi.middlewares.base": ("RecordMiddleware",),
        "divan_obs_asgi.observability": ("Observability", "logger"),
        "divan_obs_asgi.redaction": ("RedactionPolicy",),
        "divan_obs_asgi.settings": ("Settings",),
        "divan_obs_asgi.stack.build": ("build_stack",),
        "divan_obs_asgi.stack.install": ("init", "wrap"),
        "divan_obs_asgi.tracing.spans.global_spans": ("background", "span", "traced"),
        "divan_obs_asgi.version": ("__version__",),
    },
)


def __dir__() -> list[str]:
    return sorted(globals().keys() | set(__all__))
