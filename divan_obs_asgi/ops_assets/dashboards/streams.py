"""Redis Streams: which consumer group is behind, and will it catch up?"""

from __future__ import annotations

from divan_obs_asgi.metrics.catalogue import Catalogue
from divan_obs_asgi.ops_assets.dashboards.board import Board
from divan_obs_asgi.ops_assets.dashboards.kinds import stat, table, timeseries
from divan_obs_asgi.ops_assets.dashboards.panel import Panel, Query
from divan_obs_asgi.ops_assets.dashboards.queries import RATE, chosen, per_second
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.promql import Series, Vector, highest
from divan_obs_asgi.ops_assets.rules.work import MIN_LAG, OLDEST_PENDING_S

_BY = ("stream", "group")
_LEGEND = "{{stream}} / {{group}}"


def board(parameters: Parameters) -> Board:
    """Return the board."""
    series = chosen(parameters)
    return Board(
        "streams-lag",
        "Redis Streams lag",
        "Which consumer group is behind, and will it catch up?",
        (
            _worst(series),
            (_lag(series), _growth(series)),
            (_pending(series), _oldest(series)),
            (_groups(series), _catching_up(series), _processed(series)),
        ),
    )


def _worst(series: Series) -> tuple[Panel, Panel]:
    return (
        stat(
            "How high is the largest lag?",
            "Entries not yet delivered to the group with the largest lag.",
            "short",
            Query(highest(series.gauge(Catalogue.redis_stream_lag), "job"), "{{job}}"),
            alert="StreamLagGrowing",
            limits=(MIN_LAG,),
        ),
        stat(
            "How old is the oldest pending entry?",
            "Age of the oldest entry that was delivered to a group and is not acknowledged.",
            "s",
            Query(highest(series.gauge(Catalogue.redis_stream_oldest_pending), "job"), "{{job}}"),
            alert="StreamPendingTooLong",
            limits=(OLDEST_PENDING_S,),
        ),
    )


def _lag(series: Series) -> Panel:
    return timeseries(
        "Which group is behind?",
        "Entries not yet delivered to a group. Above the line the alert fires if the number grows.",
        "short",
        Query(highest(series.gauge(Catalogue.redis_stream_lag), *_BY), _LEGEND),
        alert="StreamLagGrowing",
        limits=(MIN_LAG,),
    )


def _slope(series: Series) -> Vector:
    # All processes read the same values from Redis, so the maximum is the value of each of them.
    return Vector(f"max by ({', '.join(_BY)}) (deriv({series.gauge(Catalogue.redis_stream_lag)}[{RATE}]))")


def _growth(series: Series) -> Panel:
    return timeseries(
        "Does the lag grow or shrink?",
        "Change of the lag in entries per second: above 0 it grows, below 0 it shrinks.",
        "cps",
        Query(_slope(series), _LEGEND),
        alert="StreamLagGrowing",
    )


def _pending(series: Series) -> Panel:
    return timeseries(
        "Which group does not acknowledge?",
        "Pending entries: delivered to the group, but not acknowledged.",
        "short",
        Query(highest(series.gauge(Catalogue.redis_stream_pending), *_BY), _LEGEND),
        alert="StreamPendingTooLong",
    )


def _oldest(series: Series) -> Panel:
    return timeseries(
        "How old is the oldest pending entry of each group?",
        "A steady rise means that no consumer processes the entry. The line is the alert threshold.",
        "s",
        Query(highest(series.gauge(Catalogue.redis_stream_oldest_pending), *_BY), _LEGEND),
        alert="StreamPendingTooLong",
        limits=(OLDEST_PENDING_S,),
    )


def _groups(series: Series) -> Panel:
    return table(
        "What is the state of each group?",
        "Lag, pending entries and the age of the oldest pending entry.",
        Query(highest(series.gauge(Catalogue.redis_stream_lag), *_BY), "Lag", "short"),
        Query(highest(series.gauge(Catalogue.redis_stream_pending), *_BY), "Pending", "short"),
        Query(highest(series.gauge(Catalogue.redis_stream_oldest_pending), *_BY), "Oldest", "s"),
        alert="StreamLagGrowing",
    )


def _catching_up(series: Series) -> Panel:
    lag = highest(series.gauge(Catalogue.redis_stream_lag), *_BY)
    return timeseries(
        "How long until each group has caught up?",
        "Time until the lag is 0 at the current rate; absent while the lag does not shrink.",
        "s",
        Query(Vector(f"{lag} / (-{_slope(series)} > 0)"), _LEGEND),
    )


def _processed(series: Series) -> Panel:
    return timeseries(
        "How fast are events processed?",
        "Events per second processed by the leaderboards, by stream.",
        "cps",
        Query(per_second(series.counter(Catalogue.lb_events_processed), "stream"), "{{stream}}"),
    )


__all__ = ["board"]
