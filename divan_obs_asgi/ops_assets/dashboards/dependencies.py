"""The health and latency of Redis and PostgreSQL, measured by the service."""

from __future__ import annotations

from prometheus_client import Gauge, Histogram, Summary

from divan_obs_asgi.metrics.catalogue import Catalogue
from divan_obs_asgi.metrics.family import Family
from divan_obs_asgi.ops_assets.dashboards.board import Board
from divan_obs_asgi.ops_assets.dashboards.kinds import stat, table, timeline, timeseries
from divan_obs_asgi.ops_assets.dashboards.panel import Panel, Query
from divan_obs_asgi.ops_assets.dashboards.queries import (
    RATE,
    chosen,
    in_view,
    latency,
    latency_in_view,
    mean,
    per_second,
    share,
)
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.promql import Series, Vector, highest, lowest, none_of, total
from divan_obs_asgi.ops_assets.rules.itself import CANARY
from divan_obs_asgi.ops_assets.rules.recorded import error_ratio
from divan_obs_asgi.ops_assets.rules.service import NEARLY_FULL
from divan_obs_asgi.ops_assets.rules.traffic import ERROR_RATIO
from divan_obs_asgi.probes.redis import RedisProbe
from divan_obs_asgi.probes.sql import SqlProbe

_REDIS, _POSTGRES = Catalogue.redis_ping_duration, Catalogue.postgres_ping_duration


def board(parameters: Parameters) -> Board:
    """Return the board."""
    series = chosen(parameters)
    return Board(
        "redis-postgres",
        "Redis and PostgreSQL",
        "Which dependency is down or slow, for which instance, and do requests fail?",
        (
            (
                _is_up(series, Catalogue.redis_up, "Redis", "RedisDown"),
                _is_up(series, Catalogue.postgres_up, "PostgreSQL", "PostgresDown"),
            ),
            (_down(series), _checks(series)),
            (
                _percentiles(series, _REDIS, "Redis", "RedisDown", RedisProbe.timeout),
                _percentiles(series, _POSTGRES, "PostgreSQL", "PostgresDown", SqlProbe.timeout),
            ),
            (_of_each(series, _REDIS, "Redis"), _of_each(series, _POSTGRES, "PostgreSQL")),
            (_means(series), _how_often(series), _suffering(series)),
            (_waits(series),),
            (_fullness(series), _pools(series)),
        ),
    )


def _is_up(series: Series, up: Family[Gauge], name: str, alert: str) -> Panel:
    return stat(
        f"Does {name} answer?",
        f"Share of the instances whose last health check of {name} succeeded.",
        "percentunit",
        Query(Vector(f"avg by (job) ({series.gauge(up)})"), "{{job}}"),
        alert=alert,
    )


def _down(series: Series) -> Panel:
    return timeline(
        "Which dependency was down, and for which instance?",
        "Red: the health check failed. If all instances are red, the dependency is down. If one is red, check that"
        " instance and its network.",
        Query(lowest(series.gauge(Catalogue.redis_up), "instance"), "Redis for {{instance}}"),
        Query(lowest(series.gauge(Catalogue.postgres_up), "instance"), "PostgreSQL for {{instance}}"),
        alert="RedisDown",
    )


def _checks(series: Series) -> Panel:
    return timeline(
        "Which health checks failed?",
        "All registered checks. Red: the check failed on at least one instance.",
        Query(lowest(series.gauge(Catalogue.probe_up, name=none_of(CANARY)), "name"), "{{name}}"),
        alert="PostgresDown",
    )


def _percentiles(series: Series, family: Family[Histogram], name: str, alert: str, timeout_s: float) -> Panel:
    buckets = series.buckets(family)
    return timeseries(
        f"How slow is {name}?",
        "50th, 95th and 99th percentile of the duration of a check. The line is the timeout of the check.",
        "s",
        *(Query(latency(q, buckets, "job"), f"{q:.0%} {{{{job}}}}") for q in (0.5, 0.95, 0.99)),
        alert=alert,
        limits=(timeout_s,),
    )


def _of_each(series: Series, family: Family[Histogram], name: str) -> Panel:
    return timeseries(
        f"For which instance is {name} slow?",
        "95th percentile of the duration of a check, by instance.",
        "s",
        Query(latency(0.95, series.buckets(family), "instance"), "{{instance}}"),
    )


def _means(series: Series) -> Panel:
    def of(family: Family[Summary]) -> Vector:
        return mean(series.sum(family), series.count(family), "job")

    return timeseries(
        "How long does a check take on average?",
        "Mean duration of a check. Unlike the percentiles it is exact, but it hides outliers.",
        "s",
        Query(of(Catalogue.redis_latency), "Redis"),
        Query(of(Catalogue.postgres_latency), "PostgreSQL"),
    )


def _how_often(series: Series) -> Panel:
    return timeseries(
        "Are the dependencies checked?",
        "Successful checks per second, over all instances. 0: the dependency is down, or no check runs.",
        "cps",
        Query(per_second(series.count(_REDIS), "job"), "Redis"),
        Query(per_second(series.count(_POSTGRES), "job"), "PostgreSQL"),
    )


def _suffering(series: Series) -> Panel:
    return timeseries(
        "Do requests fail at the same time?",
        "Share of the requests with a status of 500 or above. The line is the alert threshold.",
        "percentunit",
        Query(error_ratio(series, RATE), "{{job}}"),
        limits=(ERROR_RATIO,),
    )


def _waits(series: Series) -> Panel:
    return timeseries(
        "What do requests wait for?",
        "Seconds per second that all requests together spend on each cause. Needs OBS_METRICS_WAIT_TIMES=true.",
        "s",
        Query(per_second(series.sum(Catalogue.http_wait), "cause"), "{{cause}}"),
        alert="ApiLatencyP95High",
        is_stacked=True,
    )


def _fullness(series: Series) -> Panel:
    by = ("job", "instance", "pool")
    in_use = total(series.gauge(Catalogue.pool_connections, state="in_use"), *by)
    return timeseries(
        "How full are the connection pools?",
        "Connections in use, as a share of the limit, of the fullest instance. At 100 % callers wait or fail."
        " The line is the alert threshold.",
        "percentunit",
        Query(highest(share(in_use, total(series.gauge(Catalogue.pool_limit), *by)), "pool"), "{{pool}}"),
        alert="PoolExhausted",
        limits=(NEARLY_FULL,),
    )


def _pools(series: Series) -> Panel:
    connections = Catalogue.pool_connections
    return table(
        "What is the state of each connection pool?",
        "Connections and waiting callers of all instances now. Over the time range: the 95th percentile of the wait,"
        " and the requests that got no connection.",
        Query(total(series.gauge(connections, state="in_use"), "pool"), "In use", "short"),
        Query(total(series.gauge(connections, state="idle"), "pool"), "Idle", "short"),
        Query(total(series.gauge(Catalogue.pool_limit), "pool"), "Limit", "short"),
        Query(total(series.gauge(Catalogue.pool_waiting), "pool"), "Waiting", "short"),
        Query(latency_in_view(0.95, series.buckets(Catalogue.pool_wait), "pool"), "Wait (95 %)", "s"),
        Query(in_view(series.counter(Catalogue.pool_exhausted), "pool"), "Without connection", "short"),
    )


__all__ = ["board"]
