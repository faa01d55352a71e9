"""Builds the export queue of a signal. No thread starts and no connection opens before the first item."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from divan_obs_asgi.otlp.answers import DropReason
from divan_obs_asgi.otlp.export_log import ExportLog
from divan_obs_asgi.otlp.exporters import OtlpExporter
from divan_obs_asgi.otlp.queue import BatchQueue, Limits
from divan_obs_asgi.otlp.spool import Spool
from divan_obs_asgi.otlp.transport import OtlpOptions, OtlpTransport, Signal, check_files
from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.settings import OtlpSettings, OtlpSignal

Q = TypeVar("Q", bound=BatchQueue[Any])

_SCHEMES = {"grpc": "http", "grpcs": "https"}
_MEBIBYTE = 1024 * 1024
# The first word of a line about the export of a signal.
_NAMES: dict[Signal, str] = {"traces": "Spans", "logs": "Log lines", "metrics": "Metrics"}


def build_queue(
    kind: type[Q],
    signal: Signal,
    options: OtlpOptions,
    settings: OtlpSettings,
    encoder: Callable[[], Callable[[Sequence[Any]], bytes]],
    limits: Limits,
    policy: RedactionPolicy,
    dropped: Callable[[DropReason, int], None],
    failed: Callable[[Exception], None],
) -> Q:
    """
    Return a queue that exports a signal by OTLP.

    Args:
        encoder: called in the export thread; returns what encodes the items of a batch as an Export...ServiceRequest.
        policy: redacts what the collector says, for the log.

    Raises:
        ImproperlyConfigured: if a certificate cannot be read.
    """
    check_files(options)
    log = ExportLog(_NAMES[signal], lambda text: policy.redact_text(without_headers(text, options)))
    spool = build_spool(signal, settings, dropped, failed, log)

    def otlp() -> OtlpExporter[Any]:
        return OtlpExporter(signal, encoder(), load_transport(options.protocol)(options))

    return kind(otlp, dropped, failed, limits, log=log, spool=spool)


def load_exporter(signal: OtlpSignal) -> Callable[[], object]:
    """
    Return what imports the exporter when the application starts; the first export would do it, while requests wait.

    Raises:
        ModuleNotFoundError: if something is missing, which has to be reported now.
    """
    protocol: Literal["grpc", "http/protobuf"] = "http/protobuf" if signal.protocol == "http/protobuf" else "grpc"
    for name in ("opentelemetry.exporter.otlp.proto.common", *(("grpc",) if protocol == "grpc" else ())):
        if find_spec(name) is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return lambda: load_transport(protocol)


def load_transport(protocol: Literal["grpc", "http/protobuf"]) -> Callable[[OtlpOptions], OtlpTransport]:
    """
    Return the class of transport for a protocol. Its objects open no connection before the first `send`.

    gRPC is imported only here, because it costs a tenth of a second that OTLP over HTTP does not need.
    """
    if protocol == "grpc":
        from divan_obs_asgi.otlp.grpc_transport import GrpcTransport

        return GrpcTransport
    from divan_obs_asgi.otlp.http_transport import HttpTransport

    return HttpTransport


def build_spool(
    signal: Signal,
    settings: OtlpSettings,
    dropped: Callable[[DropReason, int], None],
    failed: Callable[[Exception], None],
    log: ExportLog,
) -> Spool | None:
    """Return where batches of a signal wait on the disk; None without OBS_TELEMETRY_DIR."""
    if settings.directory is None:
        return None
    return Spool(Path(settings.directory) / signal, settings.directory_mb * _MEBIBYTE, dropped, failed, log)


def options_of(name: Signal, signal: OtlpSignal, export_timeout_ms: int) -> OtlpOptions:
    """
    Return how the transport reaches the endpoint of a signal.

    Args:
        export_timeout_ms: of the signal's processor or reader. It limits one export, as the exporter's own timeout
            does: the specification has a variable for each.
    """
    endpoint = signal.endpoint or ""
    if "://" not in endpoint:
        endpoint = f"{'http' if signal.insecure else 'https'}://{endpoint}"
    scheme = urlsplit(endpoint).scheme
    is_http = signal.protocol == "http/protobuf"
    if is_http:
        endpoint = _SCHEMES.get(scheme, scheme) + endpoint[len(scheme) :]
        if signal.endpoint_is_general:
            parts = urlsplit(endpoint)
            # "relative to the endpoint": a proxy may serve the collector below a path.
            endpoint = parts._replace(path=f"{parts.path.rstrip('/')}/v1/{name}").geturl()
    return OtlpOptions(
        endpoint,
        "http/protobuf" if is_http else "grpc",
        signal.headers,
        min(signal.timeout_s, export_timeout_ms / 1000),
        signal.compression == "gzip",
        signal.certificate,
        signal.client_key,
        signal.client_certificate,
    )


def without_headers(text: str, options: OtlpOptions) -> str:
    """Return a text of the collector without the values of our headers, which it may repeat."""
    for _, value in options.headers:
        for secret in (value, *value.split()):
            if secret:
                text = text.replace(secret, "[REDACTED]")
    return text


__all__ = ["build_queue", "build_spool", "load_exporter", "load_transport", "options_of", "without_headers"]
