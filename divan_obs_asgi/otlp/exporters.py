"""What a queue passes its batches to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from divan_obs_asgi.otlp.answers import Result
from divan_obs_asgi.otlp.transport import OtlpTransport, Signal

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


__all__ = ["BatchExporter", "OtlpExporter"]
