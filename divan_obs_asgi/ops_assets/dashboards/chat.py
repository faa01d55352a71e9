"""Chat, presence and who is near."""

from __future__ import annotations

from divan_obs_asgi.metrics.catalogue import Catalogue
from divan_obs_asgi.ops_assets.dashboards.board import Board
from divan_obs_asgi.ops_assets.dashboards.kinds import table, timeseries
from divan_obs_asgi.ops_assets.dashboards.panel import Panel, Query
from divan_obs_asgi.ops_assets.dashboards.queries import RATE, chosen, in_view, latency, per_second
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.promql import Match, Series, one_of
from divan_obs_asgi.ops_assets.rules.recorded import error_ratio
from divan_obs_asgi.ops_assets.rules.traffic import ERROR_RATIO

# Routes are the application's; these are what those of the reference backend have in their names.
_CHAT = one_of(".*(chat|messages).*")
_NEARBY = one_of(".*(nearby|proximity).*")


def board(parameters: Parameters) -> Board:
    """Return the board."""
    series = chosen(parameters)
    threshold = parameters.latency_threshold
    return Board(
        "chat-proximity",
        "Chat and proximity",
        "Do messages, and questions who is near, get through quickly?",
        (
            (_sent(series), _arrived(series)),
            (
                _slow(series, "How slow is chat?", _CHAT, "chat or messages", threshold),
                _slow(series, "How slow is the question who is near?", _NEARBY, "nearby or proximity", threshold),
            ),
            (_nearby(series), _radius(series), _failing(series)),
            (_presence(series), _rejects(series), _campuses(series)),
            (_friends(series), _rooms(series), _activities(series)),
        ),
    )


def _sent(series: Series) -> Panel:
    return timeseries(
        "How much is said?",
        "Messages per second, to one person and to rooms.",
        "cps",
        Query(per_second(series.counter(Catalogue.chat_send), "job"), "to a person"),
        Query(per_second(series.counter(Catalogue.rooms_send), "job"), "to a room"),
    )


def _arrived(series: Series) -> Panel:
    return timeseries(
        "Do messages arrive, and are they read?",
        "Updates per second of how far messages were delivered and read. Where messages are sent and these stay at 0,"
        " clients do not get them.",
        "cps",
        Query(per_second(series.counter(Catalogue.chat_delivered_updates), "job"), "delivered"),
        Query(per_second(series.counter(Catalogue.chat_read_updates), "job"), "read"),
    )


def _slow(series: Series, title: str, routes: Match, names: str, threshold: float) -> Panel:
    buckets = series.buckets(Catalogue.http_duration, route=routes)
    return timeseries(
        title,
        f"The 95th percentile of the routes with {names} in their name; points are traces. The line is the latency"
        " objective's threshold.",
        "s",
        Query(latency(0.95, buckets, "route", "method"), "{{method}} {{route}}"),
        alert="ApiLatencyP95High",
        limits=(threshold,),
        is_traced=True,
    )


def _nearby(series: Series) -> Panel:
    return timeseries(
        "How often is asked who is near?",
        "Queries per second, by the smallest class of metres that holds the circle.",
        "cps",
        Query(per_second(series.counter(Catalogue.proximity_queries), "radius"), "{{radius}} m"),
        is_stacked=True,
    )


def _radius(series: Series) -> Panel:
    return table(
        "How far do people look?",
        "Queries in view, by the smallest class of metres that holds the circle.",
        Query(in_view(series.counter(Catalogue.proximity_queries), "radius"), "Queries", "short"),
    )


def _failing(series: Series) -> Panel:
    return timeseries(
        "Do requests fail?",
        "Share of all requests whose status is 500 or more. The line is the limit of the alert.",
        "percentunit",
        Query(error_ratio(series, RATE), "{{job}}"),
        alert="HighErrorRate",
        limits=(ERROR_RATIO,),
    )


def _presence(series: Series) -> Panel:
    return timeseries(
        "Are heartbeats accepted?",
        "Heartbeats per second that were accepted and refused.",
        "cps",
        Query(per_second(series.counter(Catalogue.presence_heartbeats), "job"), "accepted"),
        Query(per_second(series.counter(Catalogue.presence_rejects), "job"), "refused"),
    )


def _rejects(series: Series) -> Panel:
    return table(
        "Why are heartbeats refused?",
        "Refused heartbeats in view, by reason.",
        Query(in_view(series.counter(Catalogue.presence_rejects), "reason"), "Refused", "short"),
    )


def _campuses(series: Series) -> Panel:
    return table(
        "Where are people?",
        "Accepted heartbeats in view, by campus.",
        Query(in_view(series.counter(Catalogue.presence_heartbeats), "campus_id"), "Heartbeats", "short"),
    )


def _friends(series: Series) -> Panel:
    return timeseries(
        "Do people become friends?",
        "Invites sent and accepted, and friendships, per second.",
        "cps",
        Query(per_second(series.counter(Catalogue.invites_sent), "job"), "invites sent"),
        Query(per_second(series.counter(Catalogue.invites_accept), "job"), "invites accepted"),
        Query(per_second(series.counter(Catalogue.friendships_accepted), "job"), "friendships"),
    )


def _rooms(series: Series) -> Panel:
    return timeseries(
        "Are rooms used?",
        "Rooms created, and joins of rooms, per second.",
        "cps",
        Query(per_second(series.counter(Catalogue.rooms_created), "job"), "created"),
        Query(per_second(series.counter(Catalogue.rooms_join), "job"), "joins"),
    )


def _activities(series: Series) -> Panel:
    return table(
        "Which activities are begun and completed?",
        "Activities in view, by kind.",
        Query(in_view(series.counter(Catalogue.activities_created), "kind"), "Created", "short"),
        Query(in_view(series.counter(Catalogue.activities_completed), "kind"), "Completed", "short"),
    )


__all__ = ["board"]
