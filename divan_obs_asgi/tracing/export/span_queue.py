"""The export queue of spans, and the exporters of the SDK. Requires the extra `tracing`."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from divan_obs_asgi.otlp.answers import DELIVERED, Result
from divan_obs_asgi.otlp.queue import BatchQueue


class ExportQueue(BatchQueue[ReadableSpan], SpanProcessor):
    """The queue of spans, as a processor of the SDK's provider."""

    on_end = BatchQueue.put  # type: ignore[assignment]

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Do nothing."""


class SdkExporter:
    """Passes spans to an exporter of the SDK, which only says whether it has failed."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def encode(self, items: Sequence[ReadableSpan]) -> None:
        return None

    def send(self, items: Sequence[ReadableSpan], payload: bytes | None) -> Result:
        succeeded = self._exporter.export(items) is SpanExportResult.SUCCESS
        return DELIVERED if succeeded else Result("failed", "the exporter reports a failure")

    def shutdown(self) -> None:
        self._exporter.shutdown()


__all__ = ["ExportQueue", "SdkExporter"]
