"""Whether the collector takes the spans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, Unpack

from divan_obs_asgi.exceptions import ImproperlyConfigured, ProbeFailed
from divan_obs_asgi.probes.base import NamedProbe, Options


class Exports(Protocol):
    """`Observability.spans`."""

    @property
    def export_fails(self) -> bool | None: ...


class OtlpProbe(NamedProbe):
    """
    Whether the last export of spans succeeded. Nothing is sent for it: a service without requests tells of the past.

    It is not critical by default: without a collector spans are lost, and no request is.

    Args:
        spans: `observability.spans`.

    Raises:
        ImproperlyConfigured: where tracing is off.
    """

    critical = False

    def __init__(
        self,
        spans: Exports | None,
        *,
        name: str = "otlp",
        **options: Unpack[Options],
    ) -> None:
        if spans is None:
            raise ImproperlyConfigured("OBS_TRACING_ENABLED is false: there is no exporter to ask.")
        super().__init__(name, **options)
        self._spans = spans

    async def check(self) -> Mapping[str, object]:
        fails = self._spans.export_fails
        if fails:
            raise ProbeFailed("error")
        # A tracer provider of the application's own has its own exporter, which tells nobody.
        return {} if fails is not None else {"exporter": "unknown"}


__all__ = ["OtlpProbe"]
