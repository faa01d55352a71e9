"""What a queue hands its batches to: OTLP in bytes of our own, or any exporter of the SDK."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from divan_obs_asgi.tracing.export.answers import DELIVERED, Result
from divan_obs_asgi.tracing.export.transport import OtlpTransport, Signal

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class BatchExporter(Protocol[T_contra]):
    """Exports batches of one signal; used by the export thread."""

    def encode(self, items: Sequence[T_contra]) -> bytes | None:
        """Return what can wait on the disk for `send`; None if the exporter needs the items themselves."""
        ...

    def send(self, items: Sequence[T_contra], payload: bytes | None) -> Result:
        """Export a batch; `items` is empty for a payload from the disk."""
        ...

    def shutdown(self) -> None:
        """End, and with it a `send` that hangs. Called in another thread."""
        ...


class OtlpExporter(Generic[T]):
    """
    Encodes the items of a signal and sends the bytes.

    Args:
        encode: returns the redacted items as an Export...ServiceRequest.
    """

    def __init__(self, signal: Signal, encode: Callable[[Sequence[T]], bytes], transport: OtlpTransport) -> None:
        self._signal = signal
        self._encode = encode
        self._transport = transport

    def encode(self, items: Sequence[T]) -> bytes:
        return self._encode(items)

    def send(self, items: Sequence[T], payload: bytes | None) -> Result:
        return self._transport.send(self._signal, self._encode(items) if payload is None else payload)

    def shutdown(self) -> None:
        self._transport.close()


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


__all__ = ["BatchExporter", "OtlpExporter", "SdkExporter"]
