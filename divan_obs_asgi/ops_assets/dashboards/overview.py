"""The first dashboard to open: is the service healthy, and if not, which part is at fault?"""

from __future__ import annotations

from divan_obs_asgi.metrics.catalogue import Catalogue
from divan_obs_asgi.ops_assets.dashboards.board import Board
from divan_obs_asgi.ops_assets.dashboards.kinds import stat, table, timeline, timeseries
from divan_obs_asgi.ops_assets.dashboards.panel import Panel, Query
from divan_obs_asgi.ops_assets.dashboards.queries import (
    RATE,
    chosen,
    in_view,
    latency,
    latency_in_view,
    per_second,
    share,
)
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.promql import Series, Vector, highest, lowest, none_of, number, total
from divan_obs_asgi.ops_assets.rules.itself import CANARY
from divan_obs_asgi.ops_assets.rules.recorded import FAILED, error_ratio
from divan_obs_asgi.ops_assets.rules.traffic import ERROR_RATIO

_P = 0.95
_BY_ROUTE = ("route", "method")


def board(parameters: Parameters) -> Board:
    """Return the board."""
    series = chosen(parameters)
    return Board(
        "backend-overview",
        "Backend overview",
        "Is the service healthy? If not, is the cause the service itself or a dependency?",
        (
            (_service_or_dependency(series, parameters),),
            _at_a_glance(series, parameters),
            (_errors(series), _latency(series, parameters)),
            (_failing_routes(series), _slow_routes(series)),
            (_clients(series), _dependencies(series), _event_loop(series)),
            (_jobs(series), _last_successes(series, parameters)),
        ),
    )


def _service_or_dependency(series: Series, parameters: Parameters) -> Panel:
    slow = latency(_P, series.buckets(Catalogue.http_duration), "job")
    others = none_of(f"{CANARY}|redis|postgres")
    return timeline(
        "Is the cause the service or a dependency?",
        "If Requests or Latency are red together with a dependency, start with the dependency. If they are red alone or"
        " together with the event loop, the cause is the service. The limits are the alert thresholds.",
        Query(Vector(f"{error_ratio(series, RATE)} < bool {number(ERROR_RATIO)}"), "Requests"),
        Query(Vector(f"({slow}) <= bool {number(parameters.latency_threshold)}"), "Latency"),
        Query(Vector(f"{per_second(series.counter(Catalogue.event_loop_stalls), 'job')} == bool 0"), "Event loop"),
        Query(lowest(series.gauge(Catalogue.redis_up), "job"), "Redis"),
        Query(lowest(series.gauge(Catalogue.postgres_up), "job"), "PostgreSQL"),
        Query(lowest(series.gauge(Catalogue.probe_up, name=others), "job", "name"), "Check {{name}}"),
        alert="ServiceUnready",
    )


def _at_a_glance(series: Series, parameters: Parameters) -> tuple[Panel, ...]:
    return (
        stat(
            "How many requests come in?",
            "Requests per second, over all routes, excluding scrapes and health checks.",
            "reqps",
            Query(per_second(series.counter(Catalogue.http_requests), "job"), "{{job}}"),
        ),
        stat(
            "How many requests fail?",
            "Share of the requests with a status of 500 or above.",
            "percentunit",
            Query(error_ratio(series, RATE), "{{job}}"),
            alert="HighErrorRate",
            limits=(ERROR_RATIO,),
        ),
        stat(
            "How high is the p95 latency?",
            "95th percentile of the time to the end of the response.",
            "s",
            Query(latency(_P, series.buckets(Catalogue.http_duration), "job"), "{{job}}"),
            alert="ApiLatencyP95High",
            limits=(parameters.latency_threshold,),
        ),
        stat(
            "How many requests are in flight?",
            "Requests that the application is handling now.",
            "short",
            Query(total(series.gauge(Catalogue.http_in_flight), "job"), "{{job}}"),
        ),
    )


def _errors(series: Series) -> Panel:
    return timeseries(
        "When do requests fail?",
        "Share of the requests with a status of 500 or above. The line is the alert threshold.",
        "percentunit",
        Query(error_ratio(series, RATE), "{{job}}"),
        alert="HighErrorRate",
        limits=(ERROR_RATIO,),
    )


def _latency(series: Series, parameters: Parameters) -> Panel:
    buckets = series.buckets(Catalogue.http_duration)
    return timeseries(
        "When are requests slow?",
        "50th, 95th and 99th percentile of the latency. The line is the alert threshold for the 95th. Points are"
        " traces.",
        "s",
        *(Query(latency(q, buckets, "job"), f"{q:.0%} {{{{job}}}}") for q in (0.5, _P, 0.99)),
        alert="ApiLatencyP95High",
        limits=(parameters.latency_threshold,),
        is_traced=True,
    )


def _failing_routes(series: Series) -> Panel:
    failed = in_view(series.counter(Catalogue.http_requests, status=FAILED), *_BY_ROUTE)
    of_all = share(failed, in_view(series.counter(Catalogue.http_requests), *_BY_ROUTE))
    return table(
        "Which routes fail?",
        "Requests with a status of 500 or above in the time range, and their share per route. Empty: none failed.",
        Query(Vector(f"{failed} > 0"), "Failed", "short"),
        Query(Vector(f"{of_all} > 0"), "Share", "percentunit"),
        alert="HighErrorRate",
    )


def _slow_routes(series: Series) -> Panel:
    buckets = series.buckets(Catalogue.http_duration)
    return table(
        "Which routes are slow?",
        "Percentiles of the time to the end of the response, and the number of requests.",
        Query(latency_in_view(_P, buckets, *_BY_ROUTE), "95%", "s"),
        Query(latency_in_view(0.5, buckets, *_BY_ROUTE), "50%", "s"),
        Query(Vector(f"{in_view(series.count(Catalogue.http_duration), *_BY_ROUTE)} > 0"), "Requests", "short"),
        alert="ApiLatencyP95High",
    )


def _clients(series: Series) -> Panel:
    return timeseries(
        "How many clients are connected?",
        "Connected Socket.IO clients of all instances, by namespace.",
        "short",
        Query(total(series.gauge(Catalogue.socketio_clients), "namespace"), "{{namespace}}"),
        alert="SocketClientDrop",
        is_stacked=True,
    )


def _dependencies(series: Series) -> Panel:
    return timeseries(
        "How fast do Redis and PostgreSQL answer?",
        "95th percentile of the duration of the health checks (PING and SELECT 1).",
        "s",
        Query(latency(_P, series.buckets(Catalogue.redis_ping_duration), "job"), "Redis"),
        Query(latency(_P, series.buckets(Catalogue.postgres_ping_duration), "job"), "PostgreSQL"),
        alert="RedisDown",
    )


def _event_loop(series: Series) -> Panel:
    return timeseries(
        "Does code block the event loop?",
        "99th percentile of the delay of the event loop. While it is blocked, all requests of that process wait.",
        "s",
        Query(latency(0.99, series.buckets(Catalogue.event_loop_lag), "job", "instance"), "{{instance}}"),
        alert="EventLoopStalls",
    )


def _jobs(series: Series) -> Panel:
    return table(
        "Which jobs fail?",
        "Runs in the time range, by job and result.",
        Query(in_view(series.counter(Catalogue.jobs_runs), "name", "result"), "Runs", "short"),
        alert="JobFailed",
    )


def _last_successes(series: Series, parameters: Parameters) -> Panel:
    succeeded = highest(series.gauge(Catalogue.jobs_last_success), "name")
    return timeseries(
        "When did each job last succeed?",
        "Time since the last success; absent before the first success of the process. The line is the alert threshold.",
        "s",
        Query(Vector(f"time() - ({succeeded} > 0)"), "{{name}}"),
        alert="JobNotRun",
        limits=(parameters.job_max_age,),
    )


__all__ = ["board"]
