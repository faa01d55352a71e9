"""The resource of all signals: what this process is. Requires the extra `tracing`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from opentelemetry.sdk.resources import Resource

from divan_obs_asgi.otlp.wire import attributes, field, text
from divan_obs_asgi.settings import Settings


@lru_cache(maxsize=8)
def _resource_of_the_process(pid: int, environ: object, service: tuple[tuple[str, str], ...]) -> Resource:
    """Return the resource, cached: its detectors run in threads, which cost more than the rest of a provider."""
    return Resource.create(dict(service))


def resource_of(settings: Settings, redact: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Resource:
    """Return the redacted resource. It includes OTEL_RESOURCE_ATTRIBUTES and what the detectors find."""
    resource = _resource_of_the_process(
        os.getpid(),
        tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("OTEL_"))),
        (
            *settings.otel.resource_attributes,
            ("service.name", settings.service.name),
            ("service.version", settings.service.version),
            ("deployment.environment.name", settings.service.env),
            ("vcs.ref.head.revision", settings.service.commit),
        ),
    )
    return Resource(dict(redact(resource.attributes)), resource.schema_url)


def of_signal(resource: Resource, scopes: bytes) -> bytes:
    """Return ResourceLogs or ResourceMetrics, as field 1 of an Export...ServiceRequest; `scopes` is its field 2."""
    message = field(1, attributes(1, resource.attributes))
    return field(1, message + scopes + text(3, resource.schema_url))


__all__ = ["of_signal", "resource_of"]
