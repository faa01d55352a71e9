"""OTLP over gRPC. The encoder's bytes go to the wire as they are; no message object is made of them."""

from __future__ import annotations

from typing import Any

import grpc

from divan_obs_asgi.otlp.answers import Result, of_grpc, of_response
from divan_obs_asgi.otlp.transport import USER_AGENT, OtlpOptions, Signal, content_of

_SERVICES = {
    "traces": "trace.v1.TraceService",
    "logs": "logs.v1.LogsService",
    "metrics": "metrics.v1.MetricsService",
}
_OPTIONS = (
    ("grpc.primary_user_agent", USER_AGENT),
    # The circuit breaker alone decides when to try again. gRPC's own pauses, up to two minutes, belong to connections
    # that channels share by default.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
)


class GrpcTransport:
    """A channel to the collector, made anew after a failed connection."""

    def __init__(self, options: OtlpOptions) -> None:
        self._options = options
        host = f"[{options.host}]" if ":" in options.host else options.host
        self._target = f"{host}:{options.port}"
        # gRPC takes lower-case names only.
        self._metadata = tuple((name.lower(), value) for name, value in options.headers)
        self._channel: Any = None
        self._closed = False

    def send(self, signal: Signal, payload: bytes) -> Result:
        try:
            if self._closed:
                return Result("retry", "closed")
            if self._channel is None:
                self._channel = self._open()
            call = self._channel.unary_unary(f"/opentelemetry.proto.collector.{_SERVICES[signal]}/Export")
            return of_response(call(payload, timeout=self._options.timeout_s, metadata=self._metadata))
        except grpc.RpcError as error:
            return self._failed(error)
        except Exception as error:
            self._end_channel()
            # A channel that another thread has closed raises ValueError. The text may contain a header.
            return Result("retry", f"connection failed ({type(error).__name__})")

    def close(self) -> None:
        self._closed = True
        self._end_channel()

    def _open(self) -> Any:
        compression = grpc.Compression.Gzip if self._options.gzip else grpc.Compression.NoCompression
        if not self._options.is_secure:
            return grpc.insecure_channel(self._target, _OPTIONS, compression)
        certificate = self._options.client_certificate
        # gRPC aborts the process if it gets only one of the two. As for HTTP, one file may contain both.
        key = None if certificate is None else self._options.client_key or certificate
        credentials = grpc.ssl_channel_credentials(
            content_of(self._options.certificate), content_of(key), content_of(certificate)
        )
        return grpc.secure_channel(self._target, credentials, _OPTIONS, compression)

    def _failed(self, error: Any) -> Result:
        code = error.code()
        if code is grpc.StatusCode.UNAVAILABLE:
            self._end_channel()
        return of_grpc(code.name, error.details() or "", _retry_delay_s(error.trailing_metadata() or ()))

    def _end_channel(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()


def _retry_delay_s(metadata: Any) -> float | None:
    """Return the delay of google.rpc.RetryInfo in the details of a status; None without it."""
    details = dict(metadata).get("grpc-status-details-bin")
    if details is None:
        return None
    try:
        from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
        from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

        for detail in Status.FromString(details).details:
            info = RetryInfo()
            if detail.Unpack(info):
                return float(info.retry_delay.seconds + info.retry_delay.nanos / 1e9)
    except Exception:  # Not a Status, or not installed.
        return None
    return None


__all__ = ["GrpcTransport"]
