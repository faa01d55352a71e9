"""Checks of variables that nothing reads, and of thresholds that are not an edge of a histogram."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches

from divan_obs_asgi.checks.base import check
from divan_obs_asgi.checks.deployment import Deployment
from divan_obs_asgi.checks.finding import Finding
from divan_obs_asgi.metrics.catalogue import Catalogue
from divan_obs_asgi.settings import Settings

# Variables that OpenTelemetry's SDK, its gRPC exporter and its instrumentations read in addition to our flags. The
# instrumentations read too many OTEL_PYTHON_* variables for a list.
_READ_BY_OPENTELEMETRY = re.compile(
    r"OTEL_(?:RESOURCE_ATTRIBUTES|EXPERIMENTAL_RESOURCE_DETECTORS|SDK_DISABLED|PROPAGATORS|PYTHON_\w+|INSTRUMENTATION_\w+"
    r"|(?:SPAN_|EVENT_|LINK_)?ATTRIBUTE_(?:COUNT|VALUE_LENGTH)_LIMIT|SPAN_(?:EVENT|LINK)_COUNT_LIMIT"
    r"|EXPORTER_OTLP_(?:TRACES_)?(?:HEADERS|TIMEOUT|CERTIFICATE|CLIENT_KEY|CLIENT_CERTIFICATE|COMPRESSION|INSECURE|PROTOCOL))"
)
# Variables of OpenTelemetry's agent, which is not used here.
_AGENT = re.compile(r"OTEL_PYTHON_(?:DISTRO|CONFIGURATOR|ID_GENERATOR|DISABLED_INSTRUMENTATIONS|LOG_\w+|LOGGING_\w+)")
_INSTEAD = {
    "OTEL_SERVICE_NAME": "Set OBS_SERVICE_NAME, which overrides it.",
    "OTEL_BSP_EXPORT_TIMEOUT": "Set OTEL_EXPORTER_OTLP_TIMEOUT.",
    "OTEL_LOG_LEVEL": "Set LOG_LEVEL.",
    "OTEL_TRACES_EXPORTER": "Set OBS_TRACING_ENABLED; spans go over OTLP.",
    "OTEL_METRICS_EXPORTER": "Unset it: metrics are scraped from /metrics.",
    "OTEL_LOGS_EXPORTER": "Unset it: logs go to standard output.",
}
# How similar an OTEL_* variable must be to a flag to count as a misspelling of it.
_SLIP = 0.9


@check("obs.W015", "An OpenTelemetry variable has no effect here.", docs="docs/tracing.md")
def idle_variables(deployment: Deployment) -> Iterator[Finding]:
    flags = {flag.name for flag, _ in Settings.flags()}
    for name in sorted(name for name in deployment.environ if name.startswith("OTEL_") and name not in flags):
        if _READ_BY_OPENTELEMETRY.fullmatch(name) and not _AGENT.fullmatch(name):
            continue
        if name == "OTEL_TRACES_EXPORTER" and deployment.environ[name].strip().lower() == "otlp":
            continue
        near = [] if name in _INSTEAD else get_close_matches(name, flags, 1, _SLIP)
        hint = f"Did you mean {near[0]}?" if near else _INSTEAD.get(name, "Unset it.")
        yield Finding(f"{name} is set, and nothing here reads it.", hint)


@check("obs.W016", "A variable is similar to a flag, but is not one.", docs="docs/flags.md")
def misspelt(deployment: Deployment) -> Iterator[Finding]:
    for name, nearest in deployment.settings.misspelt:
        hint = f"Did you mean {nearest}?" if nearest else "Unset it, or rename it if another program reads it."
        yield Finding(f"{name} is not a flag; nothing reads it.", hint)


@check("obs.W017", "A threshold is not an edge of the latency histogram.", docs="docs/metrics.md")
def thresholds(deployment: Deployment) -> Iterator[Finding]:
    settings, edges = deployment.settings, Catalogue.http_duration.buckets
    seconds = {"LOG_SLOW_MS": settings.logs.slow_ms / 1000}
    if settings.tracing.enabled and settings.tracing.keep_errors:
        seconds["OBS_TRACING_KEEP_SLOW_S"] = settings.tracing.keep_slow_s
    for name, threshold in seconds.items():
        if threshold and threshold not in edges:
            near = min(edges, key=lambda edge: abs(edge - threshold))
            unit, factor = ("ms", 1000) if name.endswith("_MS") else ("s", 1)
            yield Finding(
                f"{name} is {threshold * factor:g} {unit}, which is not an edge of http_request_duration_seconds: "
                "no query can count the requests that exceed it.",
                f"Set {name}={near * factor:g}, the nearest edge.",
            )


__all__ = ["idle_variables", "misspelt", "thresholds"]
