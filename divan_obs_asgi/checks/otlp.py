"""Checks of the export of spans, which uses gRPC only."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from urllib.parse import urlsplit

from divan_obs_asgi.checks.base import check
from divan_obs_asgi.checks.deployment import Deployment
from divan_obs_asgi.checks.finding import Finding

_GRPC, _HTTP = 4317, 4318
_PREFIXES = ("OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_")


@check("obs.E011", "The OTLP endpoint is for HTTP; spans are exported over gRPC.", docs="docs/tracing.md")
def endpoint_for_http(deployment: Deployment) -> Iterator[Finding]:
    settings = deployment.settings
    for prefix, endpoint in zip(_PREFIXES, (settings.otlp.traces_endpoint, settings.otlp.endpoint), strict=True):
        if not settings.tracing.enabled or endpoint is None:
            continue
        parts = urlsplit(endpoint)
        wrong = f"port {_HTTP}" if parts.port == _HTTP else "a path" if parts.path.strip("/") else ""
        if wrong:
            tls = "grpcs" if parts.scheme in ("https", "grpcs") else "grpc"
            host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
            # Without user and query, which may be credentials.
            yield Finding(
                f"{prefix}ENDPOINT has {wrong}, like an endpoint for OTLP over HTTP; spans are exported over gRPC.",
                f"Set {prefix}ENDPOINT={tls}://{host}:{_GRPC}.",
            )
        return


@check("obs.E012", "The OTLP protocol is not gRPC; spans are exported over gRPC.", docs="docs/tracing.md")
def protocol(deployment: Deployment) -> Iterator[Finding]:
    values = ((name, deployment.environ.get(name, "").strip()) for name in (f"{one}PROTOCOL" for one in _PREFIXES))
    name, value = next(((name, value) for name, value in values if value), ("", "grpc"))
    if deployment.settings.tracing.enabled and value.lower() != "grpc":
        yield Finding(
            f"{name} is not grpc and has no effect: spans are exported over gRPC.",
            f"Unset it, and set the endpoint to the collector's port for gRPC, {_GRPC}.",
        )


@check("obs.W013", "An endpoint for spans is set, and tracing is off.", docs="docs/tracing.md")
def tracing_is_off(deployment: Deployment) -> Iterator[Finding]:
    settings = deployment.settings
    if settings.enabled and not settings.tracing.enabled and settings.otlp.traces.endpoint:
        yield Finding(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set and OBS_TRACING_ENABLED is false: nothing is traced.",
            "Set OBS_TRACING_ENABLED=true, or unset the endpoint.",
        )


@check("obs.E014", "Tracing is on, and the extra `tracing` is not installed.", docs="docs/tracing.md")
def extra_is_missing(deployment: Deployment) -> Iterator[Finding]:
    if deployment.settings.enabled and deployment.settings.tracing.enabled and find_spec("opentelemetry") is None:
        yield Finding(
            "OBS_TRACING_ENABLED is true and OpenTelemetry is not installed.", "pip install 'divan-obs-asgi[tracing]'"
        )


__all__ = ["endpoint_for_http", "extra_is_missing", "protocol", "tracing_is_off"]
