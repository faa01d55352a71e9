"""Alerts on the monitoring itself: dropped log lines, spans and exports, series overflow and failed redaction."""

from __future__ import annotations

from collections.abc import Iterator

from divan_obs_asgi.metrics.catalogue import Catalogue
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.promql import Series, increase, lines, lowest, one_of, total
from divan_obs_asgi.ops_assets.rules.rule import Alert
from divan_obs_asgi.probes.canary import CanaryProbe

CANARY = CanaryProbe.name
_BOARD = "monitoring-itself"
# What is dropped at shutdown is excluded: a process that ends has no time to export it.
_CAUSES = "queue_full|export_failed|too_large|invalid_response|rejected|disk_full|damaged"
_CIRCUIT = "circuit_open"


def alerts(parameters: Parameters) -> Iterator[Alert]:
    """Yield the alerts."""
    series = Series.of(parameters)
    yield _lines(series)
    yield _spans(series)
    yield _circuit(series)
    yield _telemetry(series)
    yield _overflow(series)
    yield _canary(series)


def _lines(series: Series) -> Alert:
    dropped = increase(series.counter(Catalogue.logs_dropped), "10m")
    return Alert(
        "LogLinesDropped",
        "ticket",
        lines(f"{total(dropped, 'job')} > 0"),
        summary="{{ $labels.job }} is dropping log lines.",
        description=(
            "Log lines of {{ $labels.job }} dropped in the last 10 minutes because the queue was full:"
            " {{ $value | humanize }}."
        ),
        board=_BOARD,
    )


def _spans(series: Series) -> Alert:
    dropped = increase(series.counter(Catalogue.trace_spans_dropped, reason=one_of(_CAUSES)), "10m")
    return Alert(
        "SpansDropped",
        "ticket",
        lines(f"{total(dropped, 'job', 'reason')} > 0"),
        summary="{{ $labels.job }} is dropping spans.",
        description=(
            "Spans of {{ $labels.job }} dropped in the last 10 minutes (reason: {{ $labels.reason }}):"
            " {{ $value | humanize }}."
        ),
        board=_BOARD,
        pending="5m",
    )


def _circuit(series: Series) -> Alert:
    dropped = increase(series.counter(Catalogue.trace_spans_dropped, reason=_CIRCUIT), "10m")
    return Alert(
        "TraceExportStopped",
        "ticket",
        lines(f"{total(dropped, 'job', 'instance')} > 0"),
        summary="{{ $labels.instance }} of {{ $labels.job }} has stopped exporting traces.",
        description=(
            "The collector does not accept spans from {{ $labels.instance }} of {{ $labels.job }}, so the circuit"
            " breaker of the exporter is open. Spans dropped in the last 10 minutes: {{ $value | humanize }}."
        ),
        board=_BOARD,
        pending="5m",
    )


def _telemetry(series: Series) -> Alert:
    dropped = increase(series.counter(Catalogue.otlp_dropped, reason=one_of(f"{_CAUSES}|{_CIRCUIT}")), "10m")
    return Alert(
        "TelemetryDropped",
        "ticket",
        lines(f"{total(dropped, 'job', 'signal', 'reason')} > 0"),
        summary="{{ $labels.job }} is losing {{ $labels.signal }} on the way to the collector.",
        description=(
            "Items of the signal {{ $labels.signal }} of {{ $labels.job }} dropped in the last 10 minutes"
            " (reason: {{ $labels.reason }}): {{ $value | humanize }}."
        ),
        board=_BOARD,
        pending="5m",
    )


def _overflow(series: Series) -> Alert:
    overflow = increase(series.counter(Catalogue.metrics_overflow), "15m")
    return Alert(
        "SeriesOverflow",
        "ticket",
        lines(f"{total(overflow, 'job', 'family', 'cause')} > 0"),
        summary="New series of {{ $labels.family }} are folded into __overflow__.",
        description=(
            "Values of {{ $labels.family }} in {{ $labels.job }} counted as __overflow__ in the last 15 minutes"
            " (cause: {{ $labels.cause }}): {{ $value | humanize }}."
        ),
        board=_BOARD,
        pending="5m",
    )


def _canary(series: Series) -> Alert:
    return Alert(
        "RedactionCanaryFailed",
        "page",
        lines(f"{lowest(series.gauge(Catalogue.probe_up, name=CANARY), 'job', 'instance')} == 0"),
        summary="{{ $labels.instance }} of {{ $labels.job }} may be leaking secrets.",
        description=(
            "The redaction self-test of {{ $labels.instance }} of {{ $labels.job }} failed: a fake secret passed"
            " through a sink, or the sink failed. Real secrets may be in its logs, traces or metrics."
        ),
        board=_BOARD,
    )


__all__ = ["CANARY", "alerts"]
