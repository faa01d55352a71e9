"""Checks of an application by its parts, without a request."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from types import FunctionType

from starlette.middleware.base import BaseHTTPMiddleware

from divan_obs_asgi.checks.base import check
from divan_obs_asgi.checks.deployment import Deployment
from divan_obs_asgi.checks.finding import Finding
from divan_obs_asgi.checks.target import Target
from divan_obs_asgi.checks.workers import misplaced
from divan_obs_asgi.connection.routes import ROUTE_KEY, http_paths
from divan_obs_asgi.connection.routes.adapters import readers_of
from divan_obs_asgi.connection.routes.wrapped import applications_in, attribute
from divan_obs_asgi.logs.pipeline import PipelineHandler
from divan_obs_asgi.ops import build_ops_app
from divan_obs_asgi.ops.shadowed import shadowed_routes
from divan_obs_asgi.settings import DEFAULT_MIDDLEWARE

# Middlewares, by the packages that they come from.
_TRACING = ("opentelemetry.instrumentation.", "starlette.middleware.opentelemetry", "ddtrace.")
_METRICS = ("prometheus_fastapi_instrumentator", "starlette_exporter", "starlette_prometheus", "aioprometheus")
_IDS = ("asgi_correlation_id", "starlette_context", "asgi_request_id", "fastapi_request_id")
_SOCKETS = ("socketio.", "engineio.")


@check("obs.W030", "The application is not inside a stack: it is not observed.", docs="README.md", subject="app")
def not_observed(deployment: Deployment) -> Iterator[Finding]:
    target = _target(deployment)
    if target.obs is None and deployment.settings.enabled:
        yield Finding(
            f"{target.name} is not observed: no stack was found around it.", "Call obs.init(app) or obs.wrap(app)."
        )


@check("obs.W031", "A `BaseHTTPMiddleware` is inside the stack.", docs="docs/middleware.md", subject="app")
def base_http_middleware(deployment: Deployment) -> Iterator[Finding]:
    if _target(deployment).obs is not None:
        for name in _named(deployment, lambda kind: issubclass(kind, BaseHTTPMiddleware)):
            yield Finding(
                f"{name} is a BaseHTTPMiddleware (`@app.middleware('http')` makes one): it runs the application in "
                "another task, and ends a failed stream as if it were complete.",
                "Write it as an ASGI middleware: a class with __init__(app) and __call__(scope, receive, send).",
            )


@check("obs.W032", "Another OpenTelemetry middleware traces the application.", docs="docs/tracing.md", subject="app")
def traced_twice(deployment: Deployment) -> Iterator[Finding]:
    target = _target(deployment)
    if target.obs is not None and target.obs.settings.tracing.enabled:
        names = list(_from(deployment, _TRACING))
        if any(attribute(part, "_is_instrumented_by_opentelemetry") is True for part in target.parts):
            names.append("FastAPIInstrumentor")
        mode = target.obs.settings.tracing.native
        for name in names:
            yield Finding(
                f"{name} traces each request as well; OBS_TRACING_NATIVE={mode} decides what happens to its spans.",
                "Remove it.",
            )


@check("obs.W033", "Another middleware counts the application's requests.", docs="docs/metrics.md", subject="app")
def counted_twice(deployment: Deployment) -> Iterator[Finding]:
    target = _target(deployment)
    if target.obs is not None and target.obs.settings.metrics.enabled:
        for name in _from(deployment, _METRICS):
            yield Finding(
                f"{name} counts each request as well, under other names.",
                "Remove it, or set OBS_METRICS_ENABLED=false.",
            )


@check("obs.W034", "Another middleware sets request ids.", docs="docs/request-ids.md", subject="app")
def named_twice(deployment: Deployment) -> Iterator[Finding]:
    target = _target(deployment)
    if target.obs is not None and target.obs.settings.requests.id_enabled:
        for name in _from(deployment, _IDS):
            yield Finding(
                f"{name} gives each request another id: log lines and responses show two.",
                "Remove it, or set OBS_REQUEST_ID_ENABLED=false.",
            )


@check(
    "obs.W035",
    "A path of the application cannot be reached: an ops endpoint has it.",
    docs="docs/ops.md",
    subject="app",
)
def shadowed(deployment: Deployment) -> Iterator[Finding]:
    target = _target(deployment)
    if target.obs is None or not target.obs.settings.ops.enabled:
        return
    settings = target.obs.settings
    ops = build_ops_app(target.obs)
    for path in shadowed_routes(target.inner, ops, has_own_port=settings.ops.port is not None):
        yield Finding(
            f"The application's own {path} cannot be reached: health, metrics and ops are served there.",
            "Set OBS_OPS_PREFIX, for example to /internal.",
        )


@check("obs.W036", "The routes of the framework are not known.", docs="docs/frameworks.md", subject="app")
def unknown_routes(deployment: Deployment) -> Iterator[Finding]:
    target = _target(deployment)
    if target.obs is None or next(http_paths(target.inner), None) is not None or readers_of(target.inner):
        return
    applications = list(applications_in(target.inner))
    if any(isinstance(attribute(one, "routes"), list) or _module(one).startswith(_SOCKETS) for one in applications):
        return
    yield Finding(
        f"The routes of {_name(target.inner)} are not known: each request has the route __unmatched__.",
        f"Set scope[{ROUTE_KEY!r}] to the matched template.",
    )


@check("obs.W037", "The server writes an access line in addition to ours.", docs="docs/logs.md", subject="app")
def two_access_lines(deployment: Deployment) -> Iterator[Finding]:
    obs = _target(deployment).obs
    if obs is None or not obs.settings.logs.access_enabled:
        return
    for server, how in _access_logs(deployment.environ):
        yield Finding(
            f"{server}'s access log is on: each request has two lines, and one of them contains the query of its URL.",
            how,
        )


def _access_logs(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each server whose access log is on, and how to turn it off."""
    is_off = environ.get("UVICORN_ACCESS_LOG", "").strip().lower() in ("0", "false", "no", "off")
    if not is_off and find_spec("uvicorn") is not None and not logging.getLogger("uvicorn.access").disabled:
        yield "uvicorn", "Start uvicorn with --no-access-log, or call obs.init or obs.wrap, which replace its loggers."
    # The access logs of these two are off by default.
    if "--access-logfile" in environ.get("GUNICORN_CMD_ARGS", ""):
        yield "gunicorn", "Remove --access-logfile from GUNICORN_CMD_ARGS."
    if environ.get("GRANIAN_LOG_ACCESS_ENABLED", "").strip().lower() in ("1", "true", "yes", "on", "t", "y"):
        yield "granian", "Unset GRANIAN_LOG_ACCESS_ENABLED."


@check("obs.W038", "The root logger does not have our handler.", docs="docs/logs.md", subject="app")
def root_without_handler(deployment: Deployment) -> Iterator[Finding]:
    obs = _target(deployment).obs
    if obs is None or not obs.settings.logs.enabled:
        return
    if not any(isinstance(handler, PipelineHandler) for handler in logging.getLogger().handlers):
        yield Finding(
            "The root logger does not have our handler: log lines of the application are neither JSON nor redacted.",
            "Call obs.init or obs.wrap after logging is configured, or set OBS_LOGGING_ENABLED=false.",
        )


@check("obs.W039", "The application lists our middlewares in another order.", docs="docs/middleware.md", subject="app")
def stack_order(deployment: Deployment) -> Iterator[Finding]:
    target = _target(deployment)
    if target.obs is None:
        return
    ours = {path.rpartition(".")[2]: path for path in DEFAULT_MIDDLEWARE}
    for places in target.obs.built_stacks.stacks:
        paths = tuple(ours.get(place.name.rpartition(".")[2], place.name) for place in places)
        if paths != target.obs.settings.middleware:
            yield from misplaced(paths, target.name)


def _target(deployment: Deployment) -> Target:
    assert deployment.app is not None, "these checks run only with an application"
    return deployment.app


def _from(deployment: Deployment, packages: tuple[str, ...]) -> Iterator[str]:
    return _named(deployment, lambda kind: f"{kind.__module__}.".startswith(packages))


def _named(deployment: Deployment, is_meant: Callable[[type], bool]) -> Iterator[str]:
    parts = _target(deployment).parts
    kinds = (part if isinstance(part, type) else type(part) for part in parts)
    yield from dict.fromkeys(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds if is_meant(kind))


def _module(one: object) -> str:
    return f"{type(one).__module__}."


def _name(app: object) -> str:
    named = app if isinstance(app, type | FunctionType) else type(app)
    return f"{named.__module__}.{named.__qualname__}"


__all__ = [
    "base_http_middleware",
    "counted_twice",
    "named_twice",
    "not_observed",
    "root_without_handler",
    "shadowed",
    "stack_order",
    "traced_twice",
    "two_access_lines",
    "unknown_routes",
]
