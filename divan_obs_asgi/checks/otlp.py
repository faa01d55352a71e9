"""Checks of the exports by OTLP."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from urllib.parse import SplitResult, urlsplit

from divan_obs_asgi.checks.base import check
from divan_obs_asgi.checks.deployment import Deployment
from divan_obs_asgi.checks.finding import Finding
from divan_obs_asgi.settings import OtlpSignal

_GRPC, _HTTP = 4317, 4318
_PREFIX = "OTEL_EXPORTER_OTLP_"
_ITEMS = {"traces": "spans", "logs": "log lines", "metrics": "metrics"}


@check("obs.E011", "The OTLP endpoint is for HTTP, and the protocol is gRPC.", docs="docs/tracing.md")
def endpoint_for_http(deployment: Deployment) -> Iterator[Finding]:
    for items, prefix, parts in _endpoints(deployment, is_grpc=True):
        wrong = f"port {_HTTP}" if parts.port == _HTTP else "a path" if parts.path.strip("/") else ""
        if not wrong:
            continue
        yield Finding(
            f"{prefix}ENDPOINT has {wrong}, like an endpoint for OTLP over HTTP; {items} are exported over gRPC.",
            f"Set {prefix}PROTOCOL=http/protobuf, or the collector's port for gRPC, {_GRPC}.",
        )


@check("obs.E012", "The OTLP endpoint is for gRPC, and the protocol is HTTP.", docs="docs/tracing.md")
def endpoint_for_grpc(deployment: Deployment) -> Iterator[Finding]:
    for items, prefix, parts in _endpoints(deployment, is_grpc=False):
        if parts.port != _GRPC and parts.scheme not in ("grpc", "grpcs"):
            continue
        yield Finding(
            f"{prefix}ENDPOINT is an endpoint for gRPC; {items} are exported over HTTP.",
            f"Set {prefix}PROTOCOL=grpc, or the collector's address for HTTP, with port {_HTTP}.",
        )


def _endpoints(deployment: Deployment, *, is_grpc: bool) -> Iterator[tuple[str, str, SplitResult]]:
    """Yield what is exported, the prefix of its variables and its endpoint, for the signals with this protocol."""
    settings = deployment.settings
    for name, items in _ITEMS.items():
        signal: OtlpSignal = getattr(settings.otlp, name)
        is_on = name != "traces" or settings.tracing.enabled
        if is_on and signal.endpoint is not None and (signal.protocol == "grpc") is is_grpc:
            own = "" if signal.endpoint_is_general else f"{name.upper()}_"
            address = signal.endpoint if "://" in signal.endpoint else f"//{signal.endpoint}"
            yield items, f"{_PREFIX}{own}", urlsplit(address)


@check("obs.W013", "An endpoint for spans is set, and tracing is off.", docs="docs/tracing.md")
def tracing_is_off(deployment: Deployment) -> Iterator[Finding]:
    settings = deployment.settings
    if settings.enabled and not settings.tracing.enabled and settings.otlp.endpoints_of_traces:
        yield Finding(
            f"{settings.otlp.endpoints_of_traces[0]} is set and OBS_TRACING_ENABLED is false: nothing is traced.",
            "Set OBS_TRACING_ENABLED=true, or unset the endpoint.",
        )


@check("obs.E014", "Tracing is on, and the extra `tracing` is not installed.", docs="docs/tracing.md")
def extra_is_missing(deployment: Deployment) -> Iterator[Finding]:
    if deployment.settings.enabled and deployment.settings.tracing.enabled and find_spec("opentelemetry") is None:
        yield Finding(
            "OBS_TRACING_ENABLED is true and OpenTelemetry is not installed.", "pip install 'divan-obs-asgi[tracing]'"
        )


__all__ = ["endpoint_for_grpc", "endpoint_for_http", "extra_is_missing", "tracing_is_off"]
