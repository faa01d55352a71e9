"""The exports of log lines and metrics by OTLP, made from the flags. Requires the extra `tracing`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from opentelemetry.sdk.resources import Resource

from divan_obs_asgi.internal_errors import InternalErrors
from divan_obs_asgi.logs import Lines, Sink
from divan_obs_asgi.logs.line_encoder import LineEncoder
from divan_obs_asgi.logs.line_export import LineExport
from divan_obs_asgi.metrics import Metrics
from divan_obs_asgi.metrics.limited import LimitedMetric
from divan_obs_asgi.metrics.multiprocess.merging import MergedFamily
from divan_obs_asgi.otlp.answers import DROP_REASONS, DropReason
from divan_obs_asgi.otlp.build import build_queue, load_exporter, options_of
from divan_obs_asgi.otlp.exports import SignalExport
from divan_obs_asgi.otlp.metric_export import MetricExport
from divan_obs_asgi.otlp.points import Series, of_collector, of_family
from divan_obs_asgi.otlp.queue import BatchQueue, Limits
from divan_obs_asgi.otlp.resource import resource_of
from divan_obs_asgi.otlp.transport import Signal
from divan_obs_asgi.redaction import RedactionPolicy
from divan_obs_asgi.settings import Settings
from divan_obs_asgi.tracing.export.redaction import SpanRedactor

# Exports of metrics that wait for a collector that is down. Each has all series.
_EXPORTS = 32


def signal_exports(
    settings: Settings, lines: Lines, sink: Sink, metrics: Metrics, policy: RedactionPolicy, faults: InternalErrors
) -> Iterator[SignalExport]:
    """Yield the exports that the flags ask for."""
    failed = partial(faults.report, "otlp")
    resource = resource_of(settings, SpanRedactor(metrics.counting(policy, "span")).attributes)
    if settings.otlp.logs.endpoint is not None:
        flags = settings.logs
        shutdown_s = settings.tracing.shutdown_timeout_s
        limits = Limits.of(flags.export_queue, flags.export_batch, flags.export_delay_ms, shutdown_s)
        options = options_of("logs", settings.otlp.logs, flags.export_timeout_ms)
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
    if settings.otlp.metrics.endpoint is not None:
        yield _metric_export(settings, metrics, policy, resource, faults)


def _metric_export(
    settings: Settings, metrics: Metrics, policy: RedactionPolicy, resource: Resource, faults: InternalErrors
) -> MetricExport:
    failed = partial(faults.report, "otlp")
    options = options_of("metrics", settings.otlp.metrics, settings.metrics.export_timeout_ms)
    # One item is one export of all series.
    limits = Limits(_EXPORTS, 1, 1.0, settings.tracing.shutdown_timeout_s)
    queue: BatchQueue[bytes] = build_queue(
        BatchQueue,
        "metrics",
        options,
        settings.otlp,
        lambda: b"".join,
        limits,
        policy,
        _count(metrics, "metrics"),
        failed,
    )

    @contextmanager
    def read() -> Iterator[Iterator[Series]]:
        with metrics.reading(failed) as collectors:
            yield _series(metrics, collectors, failed)

    shared = settings.metrics.multiproc_dir
    return MetricExport(
        read,
        queue,
        resource,
        load_exporter(settings.otlp.metrics),
        failed,
        interval_s=settings.metrics.export_interval_ms / 1000,
        delta=settings.metrics.temporality != "cumulative",
        directory=Path(shared) if shared else None,
    )


def _series(metrics: Metrics, collectors: Iterable[object], failed: Callable[[Exception], object]) -> Iterator[Series]:
    for collector in collectors:
        try:
            if isinstance(collector, (LimitedMetric, MergedFamily)):
                yield of_family(collector)
            else:
                yield from list(of_collector(metrics.read_foreign(collector)))  # type: ignore[arg-type]
        except Exception as error:
            failed(error)


def _count(metrics: Metrics, signal: Signal) -> Callable[[DropReason, int], None]:
    """Return what counts the items of a signal that are dropped; its series start at 0."""

    def start_at_zero() -> None:
        metrics.start_at_zero(metrics.otlp_dropped, signal=[signal], reason=DROP_REASONS)

    def dropped(reason: DropReason, count: int) -> None:
        metrics.otlp_dropped.labels(signal, reason).inc(count)

    metrics.registry.later(start_at_zero)
    return dropped


__all__ = ["signal_exports"]
