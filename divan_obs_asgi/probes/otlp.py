"""Probe: the collector accepts spans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, Unpack

from divan_obs_asgi.exceptions import ImproperlyConfigured, ProbeFailed
from divan_obs_asgi.probes.base import NamedProbe, Options


class ExportStatus(Protocol):
    """`Observability.spans`."""

    @property
    def export_fails(self) -> bool | None: ...


class OtlpProbe(NamedProbe):
    """
    Passes if the last export of spans succeeded. It sends nothing itself, so without requests the result is old.

    It is not critical by default: without a collector the service loses spans, but no requests.

    Args:
        spans: `observability.spans`.

    Raises:
        ImproperlyConfigured: if tracing is off.
    """

    critical = False

    def __init__(
        self,
        spans: ExportStatus | None,
        *,
        name: str = "otlp",
        **options: Unpack[Options],
    ) -> None:
        if spans is None:
            raise ImproperlyConfigured("OtlpProbe needs tracing, and OBS_TRACING_ENABLED is false.")
        super().__init__(name, **options)
        self._spans = spans

    async def check(self) -> Mapping[str, object]:
        fails = self._spans.export_fails
        if fails:
            raise ProbeFailed("error")
        # The exporter of the application's own tracer provider does not report its results.
        return {} if fails is not None else {"exporter": "unknown"}


__all__ = ["OtlpProbe"]
