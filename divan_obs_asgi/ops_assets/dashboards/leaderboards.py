"""Leaderboards and their snapshot jobs."""

from __future__ import annotations

from divan_obs_asgi.metrics.catalogue import Catalogue
from divan_obs_asgi.ops_assets.dashboards.board import Board
from divan_obs_asgi.ops_assets.dashboards.kinds import table, timeseries
from divan_obs_asgi.ops_assets.dashboards.panel import Panel, Query
from divan_obs_asgi.ops_assets.dashboards.queries import (
    chosen,
    in_view,
    latency,
    latency_in_view,
    mean,
    per_second,
    share,
)
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.promql import Series, Vector, highest, total


def board(parameters: Parameters) -> Board:
    """Return the board."""
    series = chosen(parameters)
    return Board(
        "leaderboards",
        "Leaderboards",
        "Are events processed and snapshots taken on time?",
        (
            (_events(series), _snapshots(series)),
            (_duration(series), _mean_duration(series)),
            (_age(series, parameters.job_max_age), _running(series)),
            (_runs(series), _failures(series), _lag(series)),
        ),
    )


def _events(series: Series) -> Panel:
    return timeseries(
        "Are events processed?",
        "Events per second processed by the leaderboards, by stream.",
        "cps",
        Query(per_second(series.counter(Catalogue.lb_events_processed), "stream"), "{{stream}}"),
    )


def _snapshots(series: Series) -> Panel:
    return table(
        "Which snapshots were taken?",
        "Snapshots in the time range, by period and scope.",
        Query(in_view(series.counter(Catalogue.lb_snapshots), "period", "scope"), "Snapshots", "short"),
    )


def _duration(series: Series) -> Panel:
    return timeseries(
        "How long does a snapshot take?",
        "95th percentile of the duration of a run, by job. The snapshots are jobs too.",
        "s",
        Query(latency(0.95, series.buckets(Catalogue.jobs_duration), "name"), "{{name}}"),
    )


def _mean_duration(series: Series) -> Panel:
    return timeseries(
        "Do runs take longer over time?",
        "Mean duration of a run, by job.",
        "s",
        Query(mean(series.sum(Catalogue.jobs_duration), series.count(Catalogue.jobs_duration), "name"), "{{name}}"),
    )


def _age(series: Series, max_age_s: int) -> Panel:
    succeeded = highest(series.gauge(Catalogue.jobs_last_success), "name")
    return timeseries(
        "How old is the last success?",
        "Time since the last successful run, by job. The line is the alert threshold.",
        "s",
        Query(Vector(f"time() - ({succeeded} > 0)"), "{{name}}"),
        alert="JobNotRun",
        limits=(max_age_s,),
    )


def _running(series: Series) -> Panel:
    return timeseries(
        "Which jobs are running?",
        "Runs in progress. A run that never ends hangs or waits for a lock.",
        "short",
        Query(total(series.gauge(Catalogue.jobs_running), "name"), "{{name}}"),
    )


def _runs(series: Series) -> Panel:
    return table(
        "How long did each job take?",
        "Percentiles of the duration of the runs in the time range, and the number of runs.",
        Query(latency_in_view(0.95, series.buckets(Catalogue.jobs_duration), "name"), "95%", "s"),
        Query(latency_in_view(0.5, series.buckets(Catalogue.jobs_duration), "name"), "50%", "s"),
        Query(Vector(f"{in_view(series.count(Catalogue.jobs_duration), 'name')} > 0"), "Runs", "short"),
    )


def _failures(series: Series) -> Panel:
    failed = per_second(series.counter(Catalogue.jobs_runs, result="error"), "name")
    return timeseries(
        "Do runs fail?",
        "Share of failed runs, by job.",
        "percentunit",
        Query(share(failed, per_second(series.counter(Catalogue.jobs_runs), "name")), "{{name}}"),
        alert="JobFailed",
    )


def _lag(series: Series) -> Panel:
    return timeseries(
        "Which consumer group is behind?",
        "Entries of the stream that are not yet delivered to the group.",
        "short",
        Query(highest(series.gauge(Catalogue.redis_stream_lag), "stream", "group"), "{{stream}} / {{group}}"),
        alert="StreamLagGrowing",
    )


__all__ = ["board"]
