"""Checks of variables that nothing reads, and of thresholds that are not an edge of a histogram."""

from __future__ import annotations

from collections.abc import Iterator

from divan_obs_asgi.checks.base import check
from divan_obs_asgi.checks.deployment import Deployment
from divan_obs_asgi.checks.finding import Finding
from divan_obs_asgi.metrics.catalogue import Catalogue


@check("obs.W015", "An OpenTelemetry variable has no effect here.", docs="docs/opentelemetry.md")
def idle_variables(deployment: Deployment) -> Iterator[Finding]:
    for name, instead in deployment.settings.without_effect:
        yield Finding(f"{name} is set and has no effect.", f"{instead[0].upper()}{instead[1:]}.".replace("?.", "?"))


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
