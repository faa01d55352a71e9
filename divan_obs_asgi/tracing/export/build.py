"""Builds the export queues of spans from the flags. No thread starts and no connection opens before the first span."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from opentelemetry.sdk.trace.export import SpanExporter

from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.settings import OtlpSettings, OtlpSignal, Settings
from divan_obs_asgi.tracing.export.answers import DropReason
from divan_obs_asgi.tracing.export.console import JsonLines, TraceTrees
from divan_obs_asgi.tracing.export.export_log import ExportLog
from divan_obs_asgi.tracing.export.exporters import OtlpExporter, SdkExporter
from divan_obs_asgi.tracing.export.queue import ExportQueue, Limits
from divan_obs_asgi.tracing.export.redaction import RedactingExporter, SpanRedactor
from divan_obs_asgi.tracing.export.spool import Spool
from divan_obs_asgi.tracing.export.transport import OtlpOptions, OtlpTransport, Signal, check_files

_SCHEMES = {"grpc": "http", "grpcs": "https"}
_MEBIBYTE = 1024 * 1024
# A developer looks at the terminal while the request runs.
_CONSOLE_DELAY_S = 0.2


@dataclass(frozen=True, slots=True)
class Terminal:
    """
    Where `OTEL_TRACES_EXPORTER=console` writes.

    Attributes:
        write: queues a text of one or more lines, and never blocks.
        is_for_people: whether to write trees instead of JSON lines.
    """

    write: Callable[[bytes], object]
    is_for_people: bool = False
    colours: bool = False


def build_queues(
    settings: Settings,
    exporter: SpanExporter | None,
    policy: RedactionPolicy,
    redactor: SpanRedactor,
    dropped: Callable[[DropReason, int], None],
    failed: Callable[[Exception], None],
    terminal: Terminal | None,
) -> Iterator[ExportQueue]:
    """
    Yield a queue for each exporter; drops are counted by the first one, so each span counts once.

    Args:
        exporter: used instead of those that the flags name.

    Raises:
        ImproperlyConfigured: if a certificate cannot be read.
    """
    limits = Limits(
        settings.tracing.queue_size,
        min(settings.tracing.batch_size, settings.tracing.queue_size),
        settings.tracing.delay_ms / 1000,
        settings.tracing.shutdown_timeout_s,
    )
    if exporter is not None:
        sdk = SdkExporter(RedactingExporter(exporter, redactor))
        yield ExportQueue(lambda: sdk, dropped, failed, limits, owns_exporter=False)
        return
    signal = settings.otlp.traces
    if signal.endpoint is not None:
        options = options_of("traces", signal)
        # Both limit one export: the specification has one variable for the processor and one for the exporter.
        options = replace(options, timeout_s=min(options.timeout_s, settings.tracing.export_timeout_ms / 1000))
        check_files(options)

        def otlp() -> OtlpExporter[object]:
            from divan_obs_asgi.tracing.export.encoder import SpanEncoder

            encoder = SpanEncoder()
            return OtlpExporter(
                "traces",
                lambda spans: encoder.encoded([redactor.span(span) for span in spans]),  # type: ignore[arg-type]
                load_transport(options.protocol)(options),
            )

        log = ExportLog("Spans", lambda text: policy.redact_text(without_headers(text, options)))
        spool = build_spool("traces", settings.otlp, dropped, failed, log)
        yield ExportQueue(otlp, dropped, failed, limits, log=log, spool=spool)
    if "console" in signal.exporters and terminal is not None:
        counts = dropped if signal.endpoint is None else _not_counted
        yield ExportQueue(
            lambda: _console(terminal, redactor),
            counts,
            failed,
            Limits(limits.queue, limits.batch, _CONSOLE_DELAY_S, limits.shutdown_s),
        )


def loader_of(settings: Settings) -> Callable[[], object] | None:
    """
    Return what imports the exporter when the application starts; the first export would do it, while requests wait.

    Raises:
        ModuleNotFoundError: if something is missing, which has to be reported now.
    """
    signal = settings.otlp.traces
    if signal.endpoint is None:
        return None
    protocol = options_of("traces", signal).protocol
    for name in ("opentelemetry.exporter.otlp.proto.common", *(("grpc",) if protocol == "grpc" else ())):
        if find_spec(name) is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    def load() -> None:
        import divan_obs_asgi.tracing.export.encoder  # noqa: F401

        load_transport(protocol)

    return load


def load_transport(protocol: Literal["grpc", "http/protobuf"]) -> Callable[[OtlpOptions], OtlpTransport]:
    """
    Return the class of transport for a protocol. Its objects open no connection before the first `send`.

    gRPC is imported only here, because it costs a tenth of a second that OTLP over HTTP does not need.
    """
    if protocol == "grpc":
        from divan_obs_asgi.tracing.export.grpc_transport import GrpcTransport

        return GrpcTransport
    from divan_obs_asgi.tracing.export.http_transport import HttpTransport

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


def options_of(name: Signal, signal: OtlpSignal) -> OtlpOptions:
    """Return how the transport reaches the endpoint of a signal."""
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
        signal.timeout_s,
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


def _console(terminal: Terminal, redactor: SpanRedactor) -> JsonLines | TraceTrees:
    if terminal.is_for_people:
        return TraceTrees(terminal.write, redactor.span, colours=terminal.colours)
    return JsonLines(terminal.write, redactor.span)


def _not_counted(reason: DropReason, count: int) -> None:
    """Do nothing: the queue of the collector counts."""


__all__ = ["Terminal", "build_queues", "build_spool", "load_transport", "loader_of", "options_of", "without_headers"]
