"""Alerts on jobs and on Redis Streams."""

from __future__ import annotations

from collections.abc import Iterator

from divan_obs_asgi.metrics.catalogue import Catalogue
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.promql import Series, duration, highest, increase, lines, number, total
from divan_obs_asgi.ops_assets.rules.rule import Alert

MIN_LAG = 100
OLDEST_PENDING_S = 300
_BY_GROUP = ("job", "stream", "group")


def alerts(parameters: Parameters) -> Iterator[Alert]:
    """Yield the alerts."""
    series = Series.of(parameters)
    yield _failed(series)
    yield _not_run(series, parameters.job_max_age)
    yield _lag(series)
    yield _oldest(series)


def _failed(series: Series) -> Alert:
    return Alert(
        "JobFailed",
        "ticket",
        lines(
            f"{total(increase(series.counter(Catalogue.jobs_runs, result='error'), '15m'), 'job', 'name')} > 0",
        ),
        summary="The job {{ $labels.name }} of {{ $labels.job }} failed.",
        description=(
            "Failed runs of the job {{ $labels.name }} of {{ $labels.job }} in the last 15 minutes:"
            " {{ $value | humanize }}."
        ),
        board="backend-overview",
        keep_firing="15m",
    )


def _not_run(series: Series, max_age_s: int) -> Alert:
    age = duration(max_age_s)
    succeeded = series.gauge(Catalogue.jobs_last_success)
    newest = f"max by (job, name) (max_over_time({succeeded}[{age}]))"
    return Alert(
        "JobNotRun",
        "ticket",
        lines(
            # A new process has not seen a success yet. Prometheus still has the series of the processes before it.
            f"time() - {newest} > {number(max_age_s)}",
            # The job exists now, and it existed when it should have run.
            f"and on (job, name) {highest(succeeded, 'job', 'name')}",
            f"and on (job, name) max by (job, name) (max_over_time({succeeded}[1h] offset {age}))",
        ),
        summary="The job {{ $labels.name }} of {{ $labels.job }} is overdue.",
        # A job that has never succeeded has the time stamp 0, so its age is the Unix time itself.
        description=(
            "The job {{ $labels.name }} of {{ $labels.job }}"
            " {{ if gt $value 1e9 }}has never succeeded{{ else }}last succeeded"
            f" {{{{ $value | humanizeDuration }}}} ago{{{{ end }}}}. It must succeed at least once in {age}."
        ),
        board="backend-overview",
        pending="5m",
    )


def _lag(series: Series) -> Alert:
    lag = series.gauge(Catalogue.redis_stream_lag)
    return Alert(
        "StreamLagGrowing",
        "ticket",
        lines(
            f"{highest(lag, *_BY_GROUP)} > {MIN_LAG}",
            f"and on ({', '.join(_BY_GROUP)}) max by ({', '.join(_BY_GROUP)}) (deriv({lag}[15m])) > 0",
        ),
        summary="The lag of {{ $labels.job }} on the stream {{ $labels.stream }} grows (group {{ $labels.group }}).",
        description=(
            "{{ $value | humanize }} entries of the stream {{ $labels.stream }} are not delivered to the group"
            " {{ $labels.group }} yet. Their number has grown for 15 minutes."
        ),
        board="streams-lag",
        pending="15m",
    )


def _oldest(series: Series) -> Alert:
    oldest = series.gauge(Catalogue.redis_stream_oldest_pending)
    return Alert(
        "StreamPendingTooLong",
        "ticket",
        lines(f"{highest(oldest, *_BY_GROUP)} > {OLDEST_PENDING_S}"),
        summary=(
            "{{ $labels.job }} does not acknowledge entries of the stream {{ $labels.stream }}"
            " (group {{ $labels.group }})."
        ),
        description=(
            "The oldest pending entry of the stream {{ $labels.stream }} was delivered to the group"
            " {{ $labels.group }} {{ $value | humanizeDuration }} ago and is not acknowledged."
        ),
        board="streams-lag",
        pending="5m",
    )


__all__ = ["MIN_LAG", "OLDEST_PENDING_S", "alerts"]
