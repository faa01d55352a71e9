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
            "How far behind is the worst group?",
            "Entries that the group which is most behind has not been given yet.",
            "short",
            Query(highest(series.gauge(Catalogue.redis_stream_lag), "job"), "{{job}}"),
            alert="StreamLagGrowing",
            limits=(MIN_LAG,),
        ),
        stat(
            "How old is the oldest pending entry?",
            "Age of the oldest entry that some group was given and has not acknowledged.",
            "s",
            Query(highest(series.gauge(Catalogue.redis_stream_oldest_pending), "job"), "{{job}}"),
            alert="StreamPendingTooLong",
            limits=(OLDEST_PENDING_S,),
        ),
    )


def _lag(series: Series) -> Panel:
    return timeseries(
        "Which group is behind?",
        "Entries that a group has not been given yet. From the line on, the alert fires where they become more.",
        "short",
        Query(highest(series.gauge(Catalogue.redis_stream_lag), *_BY), _LEGEND),
        alert="StreamLagGrowing",
        limits=(MIN_LAG,),
    )


def _slope(series: Series) -> Vector:
    # Each process asks the same Redis: the highest of them is as good as any.
    return Vector(f"max by ({', '.join(_BY)}) (deriv({series.gauge(Catalogue.redis_stream_lag)}[{RATE}]))")


def _growth(series: Series) -> Panel:
    return timeseries(
        "Does it fall behind or catch up?",
        "Entries per second by which the lag grows (above 0) or shrinks (below 0).",
        "cps",
        Query(_slope(series), _LEGEND),
        alert="StreamLagGrowing",
    )


def _pending(series: Series) -> Panel:
    return timeseries(
        "Which group does not acknowledge?",
        "Entries that a group was given and has not acknowledged.",
        "short",
        Query(highest(series.gauge(Catalogue.redis_stream_pending), *_BY), _LEGEND),
        alert="StreamPendingTooLong",
    )


def _oldest(series: Series) -> Panel:
    return timeseries(
        "How long has an entry waited for its acknowledgement?",
        "Age of the oldest pending entry. A steady rise is an entry that nobody works on. The line is the limit of the"
        " alert.",
        "s",
        Query(highest(series.gauge(Catalogue.redis_stream_oldest_pending), *_BY), _LEGEND),
        alert="StreamPendingTooLong",
        limits=(OLDEST_PENDING_S,),
    )


def _groups(series: Series) -> Panel:
    return table(
        "How is each group now?",
        "Lag, pending entries and the age of the oldest of them.",
        Query(highest(series.gauge(Catalogue.redis_stream_lag), *_BY), "Lag", "short"),
        Query(highest(series.gauge(Catalogue.redis_stream_pending), *_BY), "Pending", "short"),
        Query(highest(series.gauge(Catalogue.redis_stream_oldest_pending), *_BY), "Oldest", "s"),
        alert="StreamLagGrowing",
    )


def _catching_up(series: Series) -> Panel:
    lag = highest(series.gauge(Catalogue.redis_stream_lag), *_BY)
    return timeseries(
        "When will it have caught up?",
        "Time until the lag is 0 at the present speed; absent while the lag does not shrink.",
        "s",
        Query(Vector(f"{lag} / (-{_slope(series)} > 0)"), _LEGEND),
    )


def _processed(series: Series) -> Panel:
    return timeseries(
        "How fast are events processed?",
        "Events per second that the leaderboards have processed, of each stream.",
        "cps",
        Query(per_second(series.counter(Catalogue.lb_events_processed), "stream"), "{{stream}}"),
    )


__all__ = ["board"]
