"""Alerts on the processes of the service, and on what it depends on."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import Gauge

from divan_obs_asgi.metrics.catalogue import Catalogue
from divan_obs_asgi.metrics.family import Family
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.promql import Foreign, Series, Vector, increase, lines, lowest, total
from divan_obs_asgi.ops_assets.rules.rule import Alert

STALLS = 5


def alerts(parameters: Parameters) -> Iterator[Alert]:
    """Yield the alerts."""
    series = Series.of(parameters)
    yield _absent(series)
    yield _not_scraped(series)
    yield _without_metrics(series)
    yield _unready(series)
    yield _down(series, "RedisDown", "Redis", Catalogue.redis_up)
    yield _down(series, "PostgresDown", "PostgreSQL", Catalogue.postgres_up)
    yield _stalls(series)


def _absent(series: Series) -> Alert:
    up = series.gauge(Foreign.up)
    return Alert(
        "ServiceAbsent",
        "page",
        # A ratio of nothing is nothing: while this fires, no other alert can.
        lines(f"absent({up})", f"or sum by (job) ({up}) == 0"),
        summary="Prometheus reaches no instance of {{ $labels.job }}.",
        description=(
            "Prometheus has no target of the job {{ $labels.job }}, or cannot scrape any of them, for 5 minutes."
            " No other alert of this service can fire meanwhile."
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
            "The scrapes of {{ $labels.instance }} of {{ $labels.job }} fail for 5 minutes, while those of other"
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
        summary="{{ $labels.instance }} of {{ $labels.job }} exposes none of the service's metrics.",
        description=(
            f"{{{{ $labels.instance }}}} of {{{{ $labels.job }}}} is scraped, but its page has no"
            f" {series.name(Catalogue.build_info)} for 10 minutes: alerts and dashboards do not see it."
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
            f"{lowest(_of_those_that_stay(series, ready), 'job', 'instance')} == 0",
        ),
        summary="{{ $labels.instance }} of {{ $labels.job }} is not ready.",
        description=(
            "/health/ready of {{ $labels.instance }} of {{ $labels.job }} fails for 5 minutes: balancers send it no"
            " requests."
        ),
        board="backend-overview",
        pending="5m",
    )


def _down(series: Series, alert: str, dependency: str, up: Family[Gauge]) -> Alert:
    return Alert(
        alert,
        "page",
        lines(f"{lowest(_of_those_that_stay(series, series.gauge(up)), 'job')} == 0"),
        summary=f"{{{{ $labels.job }}}} does not reach {dependency}.",
        description=(
            f"{dependency} has not answered at least one instance of {{{{ $labels.job }}}} in time for 2 minutes."
        ),
        board="redis-postgres",
        pending="2m",
    )


def _of_those_that_stay(series: Series, gauge: Vector) -> Vector:
    # A process that drains closes what it needs no more.
    return Vector(f"{gauge} unless on (job, instance) {series.gauge(Catalogue.draining)} > 0")


def _stalls(series: Series) -> Alert:
    return Alert(
        "EventLoopStalls",
        "ticket",
        lines(
            f"{total(increase(series.counter(Catalogue.event_loop_stalls), '10m'), 'job', 'instance')} >= {STALLS}",
        ),
        summary="Code blocks the event loop of {{ $labels.job }}.",
        description=(
            "How often code blocked the event loop of {{ $labels.instance }} of {{ $labels.job }} in the last 10"
            " minutes: {{ $value | humanize }}. Every request of that process waited meanwhile."
        ),
        board="backend-overview",
        pending="5m",
    )


__all__ = ["STALLS", "alerts"]
