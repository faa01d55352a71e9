"""Chat, presence and nearby people."""

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

# Route names depend on the application. These patterns match the routes of the reference backend.
_CHAT = one_of(".*(chat|messages).*")
_NEARBY = one_of(".*(nearby|proximity).*")


def board(parameters: Parameters) -> Board:
    """Return the board."""
    series = chosen(parameters)
    threshold = parameters.latency_threshold
    return Board(
        "chat-proximity",
        "Chat and proximity",
        "Are messages and nearby queries handled quickly?",
        (
            (_sent(series), _arrived(series)),
            (
                _slow(series, "How slow are the chat routes?", _CHAT, "chat or messages", threshold),
                _slow(series, "How slow are the nearby routes?", _NEARBY, "nearby or proximity", threshold),
            ),
            (_nearby(series), _radius(series), _failing(series)),
            (_presence(series), _rejects(series), _campuses(series)),
            (_friends(series), _rooms(series), _activities(series)),
        ),
    )


def _sent(series: Series) -> Panel:
    return timeseries(
        "How many messages are sent?",
        "Messages per second, to one person and to rooms.",
        "cps",
        Query(per_second(series.counter(Catalogue.chat_send), "job"), "to a person"),
        Query(per_second(series.counter(Catalogue.rooms_send), "job"), "to a room"),
    )


def _arrived(series: Series) -> Panel:
    return timeseries(
        "Are messages delivered and read?",
        "Delivery and read receipts per second. If messages are sent and these stay at 0, clients do not receive them.",
        "cps",
        Query(per_second(series.counter(Catalogue.chat_delivered_updates), "job"), "delivered"),
        Query(per_second(series.counter(Catalogue.chat_read_updates), "job"), "read"),
    )


def _slow(series: Series, title: str, routes: Match, names: str, threshold: float) -> Panel:
    buckets = series.buckets(Catalogue.http_duration, route=routes)
    return timeseries(
        title,
        f"95th percentile latency of the routes with {names} in their name. Points are traces. The line is the"
        " threshold of the latency objective.",
        "s",
        Query(latency(0.95, buckets, "route", "method"), "{{method}} {{route}}"),
        alert="ApiLatencyP95High",
        limits=(threshold,),
        is_traced=True,
    )


def _nearby(series: Series) -> Panel:
    return timeseries(
        "How many nearby queries are made?",
        "Nearby queries per second, by radius, rounded up to the next class.",
        "cps",
        Query(per_second(series.counter(Catalogue.proximity_queries), "radius"), "{{radius}} m"),
        is_stacked=True,
    )


def _radius(series: Series) -> Panel:
    return table(
        "Which radius do people choose?",
        "Nearby queries in the time range, by radius in metres, rounded up to the next class.",
        Query(in_view(series.counter(Catalogue.proximity_queries), "radius"), "Queries", "short"),
    )


def _failing(series: Series) -> Panel:
    return timeseries(
        "Do requests fail?",
        "Share of all requests with a status of 500 or above. The line is the alert threshold.",
        "percentunit",
        Query(error_ratio(series, RATE), "{{job}}"),
        alert="HighErrorRate",
        limits=(ERROR_RATIO,),
    )


def _presence(series: Series) -> Panel:
    return timeseries(
        "Are heartbeats accepted?",
        "Heartbeats accepted and rejected per second.",
        "cps",
        Query(per_second(series.counter(Catalogue.presence_heartbeats), "job"), "accepted"),
        Query(per_second(series.counter(Catalogue.presence_rejects), "job"), "rejected"),
    )


def _rejects(series: Series) -> Panel:
    return table(
        "Why are heartbeats rejected?",
        "Rejected heartbeats in the time range, by reason.",
        Query(in_view(series.counter(Catalogue.presence_rejects), "reason"), "Rejected", "short"),
    )


def _campuses(series: Series) -> Panel:
    return table(
        "Where are people?",
        "Accepted heartbeats in the time range, by campus.",
        Query(in_view(series.counter(Catalogue.presence_heartbeats), "campus_id"), "Heartbeats", "short"),
    )


def _friends(series: Series) -> Panel:
    return timeseries(
        "Do people become friends?",
        "Invites sent, invites accepted and new friendships per second.",
        "cps",
        Query(per_second(series.counter(Catalogue.invites_sent), "job"), "invites sent"),
        Query(per_second(series.counter(Catalogue.invites_accept), "job"), "invites accepted"),
        Query(per_second(series.counter(Catalogue.friendships_accepted), "job"), "friendships"),
    )


def _rooms(series: Series) -> Panel:
    return timeseries(
        "Are rooms used?",
        "Rooms created and rooms joined per second.",
        "cps",
        Query(per_second(series.counter(Catalogue.rooms_created), "job"), "created"),
        Query(per_second(series.counter(Catalogue.rooms_join), "job"), "joins"),
    )


def _activities(series: Series) -> Panel:
    return table(
        "Which activities are created and completed?",
        "Activities in the time range, by kind.",
        Query(in_view(series.counter(Catalogue.activities_created), "kind"), "Created", "short"),
        Query(in_view(series.counter(Catalogue.activities_completed), "kind"), "Completed", "short"),
    )


__all__ = ["board"]
