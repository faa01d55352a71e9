"""Alerts on the observability itself: what is not logged, traced, counted or redacted."""

from __future__ import annotations

from collections.abc import Iterator

from divan_obs_asgi.metrics.catalogue import Catalogue
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.promql import Series, increase, lines, lowest, one_of, total
from divan_obs_asgi.ops_assets.rules.rule import Alert
from divan_obs_asgi.probes.canary import CanaryProbe

CANARY = CanaryProbe.name
_BOARD = "monitoring-itself"


def alerts(parameters: Parameters) -> Iterator[Alert]:
    """Yield the alerts."""
    series = Series.of(parameters)
    yield _lines(series)
    yield _spans(series)
    yield _circuit(series)
    yield _overflow(series)
    yield _canary(series)


def _lines(series: Series) -> Alert:
    dropped = increase(series.counter(Catalogue.logs_dropped), "10m")
    return Alert(
        "LogLinesDropped",
        "ticket",
        lines(f"{total(dropped, 'job')} > 0"),
        summary="{{ $labels.job }} loses log lines.",
        description=(
            "Log lines of {{ $labels.job }} that found the queue full in the last 10 minutes: {{ $value | humanize }}."
        ),
        board=_BOARD,
    )


def _spans(series: Series) -> Alert:
    # Not those of a process that ends: it has no time to export them.
    dropped = increase(series.counter(Catalogue.trace_spans_dropped, reason=one_of("queue_full|export_failed")), "10m")
    return Alert(
        "SpansDropped",
        "ticket",
        lines(f"{total(dropped, 'job', 'reason')} > 0"),
        summary="{{ $labels.job }} loses spans.",
        description=(
            "Spans of {{ $labels.job }} that were dropped in the last 10 minutes ({{ $labels.reason }}):"
            " {{ $value | humanize }}."
        ),
        board=_BOARD,
        pending="5m",
    )


def _circuit(series: Series) -> Alert:
    dropped = increase(series.counter(Catalogue.trace_spans_dropped, reason="circuit_open"), "10m")
    return Alert(
        "TraceExportStopped",
        "ticket",
        lines(f"{total(dropped, 'job', 'instance')} > 0"),
        summary="{{ $labels.instance }} of {{ $labels.job }} has stopped exporting traces.",
        description=(
            "The collector does not take the spans of {{ $labels.instance }} of {{ $labels.job }}: its circuit breaker"
            " is open. Spans that were dropped in the last 10 minutes: {{ $value | humanize }}."
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
        summary="Series of {{ $labels.family }} are folded into __overflow__.",
        description=(
            "Values of {{ $labels.family }} in {{ $labels.job }} that were counted as __overflow__ in the last 15"
            " minutes ({{ $labels.cause }}): {{ $value | humanize }}."
        ),
        board=_BOARD,
        pending="5m",
    )


def _canary(series: Series) -> Alert:
    return Alert(
        "RedactionCanaryFailed",
        "page",
        lines(f"{lowest(series.gauge(Catalogue.probe_up, name=CANARY), 'job', 'instance')} == 0"),
        summary="{{ $labels.instance }} of {{ $labels.job }} lets secrets through.",
        description=(
            "A false secret came through a sink of {{ $labels.instance }} of {{ $labels.job }}, or the sink failed:"
            " real ones may stand in its logs, traces or metrics."
        ),
        board=_BOARD,
    )


__all__ = ["CANARY", "alerts"]
