"""Alerts on the processes of the service and on its dependencies."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import Gauge

from divan_obs_asgi.metrics.catalogue import Catalogue
from divan_obs_asgi.metrics.family import Family
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.promql import (
    Foreign,
    Series,
    Vector,
    highest,
    increase,
    lines,
    lowest,
    number,
    rate,
    total,
)
from divan_obs_asgi.ops_assets.rules.rule import Alert

STALLS = 5
EXHAUSTED = 5
NEARLY_FULL = 0.9


def alerts(parameters: Parameters) -> Iterator[Alert]:
    """Yield the alerts."""
    series = Series.of(parameters)
    yield _absent(series)
    yield _not_scraped(series)
    yield _without_metrics(series)
    yield _unready(series)
    yield _down(series, "RedisDown", "Redis", Catalogue.redis_up)
    yield _down(series, "PostgresDown", "PostgreSQL", Catalogue.postgres_up)
    yield _pool(series)
    yield _stalls(series)


def _absent(series: Series) -> Alert:
    up = series.gauge(Foreign.up)
    return Alert(
        "ServiceAbsent",
        "page",
        # Without data every other expression is empty: while this alert fires, no other one can.
        lines(f"absent({up})", f"or sum by (job) ({up}) == 0"),
        summary="Prometheus cannot scrape any instance of {{ $labels.job }}.",
        description=(
            "For 5 minutes, Prometheus has had no target for the job {{ $labels.job }}, or could not scrape any of"
            " them. While this alert fires, no other alert of this service can fire."
        ),
        board="monitoring-itself",
        pending="5m",
    )


def _not_scraped(series: Series) -> Alert:
    up = series.gauge(Foreign.up)
    return Alert(
        "ReplicaNotScraped",
        "ticket",
        lines(f"{up} == 0", f"and on (job) sum by (job) ({up}) > 0"),
        summary="Prometheus cannot scrape {{ $labels.instance }} of {{ $labels.job }}.",
        description=(
            "For 5 minutes, scrapes of {{ $labels.instance }} of {{ $labels.job }} have failed. Scrapes of other"
            " instances succeed."
        ),
        board="monitoring-itself",
        pending="5m",
    )


def _without_metrics(series: Series) -> Alert:
    up = series.gauge(Foreign.up)
    return Alert(
        "MetricsAbsent",
        "ticket",
        lines(f"{up} == 1", f"unless on (job, instance) {series.gauge(Catalogue.build_info)}"),
        summary="{{ $labels.instance }} of {{ $labels.job }} does not expose the service's metrics.",
        description=(
            f"For 10 minutes, Prometheus has scraped {{{{ $labels.instance }}}} of {{{{ $labels.job }}}} without"
            f" finding {series.name(Catalogue.build_info)}. Alerts and dashboards do not cover this instance."
        ),
        board="monitoring-itself",
        pending="10m",
    )


def _unready(series: Series) -> Alert:
    ready = series.gauge(Catalogue.health_ready)
    return Alert(
        "ServiceUnready",
        "page",
        lines(
            f"{lowest(_not_draining(series, ready), 'job', 'instance')} == 0",
        ),
        summary="{{ $labels.instance }} of {{ $labels.job }} is not ready.",
        description=(
            "For 5 minutes, /health/ready of {{ $labels.instance }} of {{ $labels.job }} has failed. Load balancers do"
            " not send it requests."
        ),
        board="backend-overview",
        pending="5m",
    )


def _down(series: Series, alert: str, dependency: str, up: Family[Gauge]) -> Alert:
    return Alert(
        alert,
        "page",
        lines(f"{lowest(_not_draining(series, series.gauge(up)), 'job')} == 0"),
        summary=f"{{{{ $labels.job }}}} cannot reach {dependency}.",
        description=(
            f"For 2 minutes, the health check of {dependency} has failed on at least one instance of"
            " {{ $labels.job }}."
        ),
        board="redis-postgres",
        pending="2m",
    )


def _not_draining(series: Series, gauge: Vector) -> Vector:
    # A process that drains closes its connections on purpose.
    return Vector(f"{gauge} unless on (job, instance) {series.gauge(Catalogue.draining)} > 0")


def _pool(series: Series) -> Alert:
    by = ("job", "instance", "pool")
    exhausted = total(increase(series.counter(Catalogue.pool_exhausted), "10m"), "job", "pool")
    # The seconds of all waits in a second are the callers that wait at a time (Little's law). Between two scrapes the
    # gauge shows none of them.
    waiting = total(rate(series.sum(Catalogue.pool_wait), "5m"), *by)
    in_use = total(series.gauge(Catalogue.pool_connections, state="in_use"), *by)
    limit = total(series.gauge(Catalogue.pool_limit), *by)
    return Alert(
        "PoolExhausted",
        "ticket",
        lines(
            f"{exhausted} >= {EXHAUSTED}",
            "or",
            f"{highest(waiting, 'job', 'pool')} >= 1",
            "  and on (job, pool)",
            f"  {highest(Vector(f'({in_use} / {limit})'), 'job', 'pool')} >= {number(NEARLY_FULL)}",
        ),
        summary="The connection pool {{ $labels.pool }} of {{ $labels.job }} is exhausted, or nearly.",
        description=(
            "For 5 minutes, callers of {{ $labels.job }} got no connection from the pool {{ $labels.pool }}, or waited"
            " for one while at least 90 % of its connections were in use."
        ),
        board="redis-postgres",
        pending="5m",
    )


def _stalls(series: Series) -> Alert:
    return Alert(
        "EventLoopStalls",
        "ticket",
        lines(
            f"{total(increase(series.counter(Catalogue.event_loop_stalls), '10m'), 'job', 'instance')} >= {STALLS}",
        ),
        summary="Code blocks the event loop of {{ $labels.job }}.",
        description=(
            "Code blocked the event loop of {{ $labels.instance }} of {{ $labels.job }} {{ $value | humanize }} times"
            " in the last 10 minutes. While it is blocked, every request of that process waits."
        ),
        board="backend-overview",
        pending="5m",
    )


__all__ = ["NEARLY_FULL", "STALLS", "alerts"]
