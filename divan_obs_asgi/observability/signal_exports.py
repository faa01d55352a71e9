"""The exports of log lines and metrics by OTLP, made from the flags. Requires the extra `tracing`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from divan_obs_asgi.internal_errors import InternalErrors
from divan_obs_asgi.logs import Lines, Sink
from divan_obs_asgi.logs.line_encoder import LineEncoder
from divan_obs_asgi.logs.line_export import LineExport
from divan_obs_asgi.metrics import Metrics
from divan_obs_asgi.otlp.answers import DROP_REASONS, DropReason
from divan_obs_asgi.otlp.build import build_queue, load_exporter, options_of
from divan_obs_asgi.otlp.exports import SignalExport
from divan_obs_asgi.otlp.queue import BatchQueue, Limits
from divan_obs_asgi.otlp.resource import resource_of
from divan_obs_asgi.otlp.transport import Signal
from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.settings import Settings
from divan_obs_asgi.tracing.export.redaction import SpanRedactor


def signal_exports(
    settings: Settings, lines: Lines, sink: Sink, metrics: Metrics, policy: RedactionPolicy, faults: InternalErrors
) -> Iterator[SignalExport]:
    """Yield the exports that the flags ask for."""
    failed = partial(faults.report, "otlp")
    resource = resource_of(settings, SpanRedactor(metrics.counting(policy, "span")).attributes)
    if settings.otlp.logs.endpoint is not None:
        flags = settings.logs
        limits = Limits(
            flags.export_queue,
            min(flags.export_batch, flags.export_queue),
            flags.export_delay_ms / 1000,
            settings.tracing.shutdown_timeout_s,
        )
        options = options_of("logs", settings.otlp.logs)
        options = replace(options, timeout_s=min(options.timeout_s, flags.export_timeout_ms / 1000))
        queue: BatchQueue[bytes] = build_queue(
            BatchQueue,
            "logs",
            options,
            settings.otlp,
            lambda: LineEncoder(resource).encoded,
            limits,
            policy,
            _count(metrics, "logs"),
            failed,
        )
        lines.has_places = True
        yield LineExport(sink, queue, load_exporter(settings.otlp.logs))


def _count(metrics: Metrics, signal: Signal) -> Callable[[DropReason, int], None]:
    """Return what counts the items of a signal that are dropped; its series start at 0."""

    def start_at_zero() -> None:
        metrics.start_at_zero(metrics.otlp_dropped, signal=[signal], reason=DROP_REASONS)

    def dropped(reason: DropReason, count: int) -> None:
        metrics.otlp_dropped.labels(signal, reason).inc(count)

    metrics.registry.later(start_at_zero)
    return dropped


__all__ = ["signal_exports"]
