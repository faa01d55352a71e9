"""Alerts on failed requests, slow requests and lost Socket.IO clients."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from divan_obs_asgi.metrics.catalogue import Catalogue
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.promql import Foreign, Series, highest, increase, lines, number, quantile, total
from divan_obs_asgi.ops_assets.rules.objectives import MIN_FAILURES
from divan_obs_asgi.ops_assets.rules.recorded import ERRORS, at_least, failures, slow
from divan_obs_asgi.ops_assets.rules.rule import Alert

ERROR_RATIO = 0.05
_P = 0.95
# With fewer clients than this, a few people who close their laptops are half of all.
MIN_CLIENTS = 20
REFUSED_RATIO = 0.1
# With fewer refusals than this, a scanner or the clients of one deploy are most of them.
MIN_REFUSALS = 50


def alerts(parameters: Parameters) -> Iterator[Alert]:
    """Yield the alerts."""
    series = Series.of(parameters)
    yield _errors(series)
    yield _latency(series, parameters.latency_threshold)
    yield _clients(series)
    yield _refusals(series)


def _errors(series: Series) -> Alert:
    return Alert(
        "HighErrorRate",
        "page",
        lines(
            f"{series.recorded(ERRORS.ratio('5m'))} > {number(ERROR_RATIO)}",
            at_least(failures(series, "10m"), MIN_FAILURES),
        ),
        summary="More than 5 % of the requests to {{ $labels.job }} fail.",
        description=(
            "Over the last 5 minutes, {{ $value | humanizePercentage }} of the requests to {{ $labels.job }} had a"
            " status of 500 or above."
        ),
        board="backend-overview",
        pending="10m",
    )


def _latency(series: Series, threshold: float) -> Alert:
    milliseconds = number(Decimal(str(threshold)) * 1000)
    return Alert(
        "ApiLatencyP95High",
        "ticket",
        lines(
            f"{quantile(_P, series.buckets(Catalogue.http_duration), '5m', 'job')} > {number(threshold)}",
            at_least(slow(series, threshold, "15m"), MIN_FAILURES),
        ),
        summary=f"The p95 latency of {{{{ $labels.job }}}} is above {milliseconds} ms.",
        description=(
            "Over the last 5 minutes, the 95th percentile of the request latency of {{ $labels.job }} is"
            " {{ $value | humanizeDuration }}."
        ),
        board="backend-overview",
        pending="15m",
    )


def _clients(series: Series) -> Alert:
    clients = series.gauge(Catalogue.socketio_clients)
    started = highest(series.gauge(Foreign.process_start), "job")
    drained = f"max by (job) (max_over_time({series.gauge(Catalogue.draining)}[10m]))"
    return Alert(
        "SocketClientDrop",
        "page",
        lines(
            f"1 - {total(clients, 'job')}",
            f"  / (sum by (job) ({clients} offset 5m) >= {MIN_CLIENTS})",
            "> 0.5",
            # Starting or draining a process disconnects its clients. The replacement of a Kubernetes pod is a new
            # instance whose start time does not change, so the condition uses its age.
            f"unless on (job) (time() - {started} < 600)",
            f"unless on (job) {drained} > 0",
        ),
        summary="{{ $labels.job }} lost more than half of its Socket.IO clients within 5 minutes.",
        description=(
            "{{ $value | humanizePercentage }} of the Socket.IO clients that were connected to {{ $labels.job }} 5"
            " minutes ago are no longer connected. No process started or drained in the last 10 minutes."
        ),
        board="socketio",
        pending="1m",
    )


def _refusals(series: Series) -> Alert:
    refused = total(increase(series.counter(Catalogue.socketio_refused), "10m"), "job")
    accepted = total(increase(series.counter(Catalogue.socketio_packets, direction="in"), "10m"), "job")
    return Alert(
        "SocketRefusals",
        "ticket",
        lines(
            f"{refused}",
            f"  / ({refused} + {accepted}) > {number(REFUSED_RATIO)}",
            f"and on (job) {refused} >= {MIN_REFUSALS}",
        ),
        summary="Engine.IO or Socket.IO of {{ $labels.job }} refuses more than 10 % of what clients send.",
        description=(
            "Over the last 10 minutes, {{ $labels.job }} refused or dropped {{ $value | humanizePercentage }} of the"
            " requests, packets and events of its Socket.IO clients."
        ),
        board="socketio",
        pending="10m",
    )


__all__ = ["ERROR_RATIO", "MIN_CLIENTS", "alerts"]
