"""Socket.IO: who is connected, what is said, and what goes wrong."""

from __future__ import annotations

from divan_obs_asgi.metrics.catalogue import Catalogue
from divan_obs_asgi.ops_assets.dashboards.board import Board
from divan_obs_asgi.ops_assets.dashboards.kinds import table, timeseries
from divan_obs_asgi.ops_assets.dashboards.panel import Panel, Query
from divan_obs_asgi.ops_assets.dashboards.queries import chosen, in_view, latency, per_second, share
from divan_obs_asgi.ops_assets.parameters import Parameters
from divan_obs_asgi.ops_assets.promql import Series, Vector, ago, highest, total
from divan_obs_asgi.ops_assets.rules.traffic import MIN_CLIENTS

_BY_EVENT = ("namespace", "event")


def board(parameters: Parameters) -> Board:
    """Return the board."""
    series = chosen(parameters)
    return Board(
        "socketio",
        "Socket.IO",
        "Do clients stay connected, and do their events get through?",
        (
            (_clients(series), _lost(series)),
            (_connects(series), _disconnects(series)),
            (_events(series), _handlers(series)),
            (_errors(series), _acknowledged(series), _ack_duration(series)),
            (_recipients(series), _traffic(series), _transports(series)),
            (_rooms(series), _pubsub(series)),
        ),
    )


def _clients(series: Series) -> Panel:
    return timeseries(
        "Who is connected?",
        "Connected clients of each namespace, of all instances together.",
        "short",
        Query(total(series.gauge(Catalogue.socketio_clients), "namespace"), "{{namespace}}"),
        alert="SocketClientDrop",
        is_stacked=True,
    )


def _lost(series: Series) -> Panel:
    clients = series.gauge(Catalogue.socketio_clients)
    before = Vector(f"{total(ago(clients, '5m'), 'job')} >= {MIN_CLIENTS}")
    return timeseries(
        "Were many clients lost at once?",
        "Share of the clients of 5 minutes ago that are gone; below 0 where there are more now. The line is the limit"
        " of the alert, which is silent while a process starts or drains.",
        "percentunit",
        Query(Vector(f"1 - {total(clients, 'job')} / ({before})"), "{{job}}"),
        alert="SocketClientDrop",
        limits=(0.5,),
    )


def _connects(series: Series) -> Panel:
    return timeseries(
        "Are clients let in?",
        "Clients per second that asked to connect, by what became of it.",
        "cps",
        Query(per_second(series.counter(Catalogue.socketio_connects), "namespace", "outcome"),
              "{{namespace}} {{outcome}}"),
    )  # fmt: skip


def _disconnects(series: Series) -> Panel:
    return timeseries(
        "Why do clients leave?",
        "Clients per second that left, by reason. Many ping timeouts at once: the network, or a blocked event loop.",
        "cps",
        Query(per_second(series.counter(Catalogue.socketio_disconnects), "reason"), "{{reason}}"),
        is_stacked=True,
    )


def _events(series: Series) -> Panel:
    return table(
        "Which events come in?",
        "Events in view, by namespace and name.",
        Query(Vector(f"{in_view(series.counter(Catalogue.socketio_events), *_BY_EVENT)} > 0"), "Events", "short"),
    )


def _handlers(series: Series) -> Panel:
    return timeseries(
        "Which handlers are slow?",
        "The 95th percentile of the time that the handler of an event took; points are traces.",
        "s",
        Query(latency(0.95, series.buckets(Catalogue.socketio_event_duration), *_BY_EVENT), "{{namespace}} {{event}}"),
        is_traced=True,
    )


def _errors(series: Series) -> Panel:
    return table(
        "Which handlers fail?",
        "Exceptions of handlers in view, by class. Empty: none failed.",
        Query(
            Vector(f"{in_view(series.counter(Catalogue.socketio_errors), *_BY_EVENT, 'type')} > 0"), "Errors", "short"
        ),
    )


def _acknowledged(series: Series) -> Panel:
    acks = Catalogue.socketio_acks
    answered = per_second(series.counter(acks, state="answered"), "namespace")
    return timeseries(
        "Do clients acknowledge in time?",
        "Share of the acknowledgements asked for that came in time.",
        "percentunit",
        Query(share(answered, per_second(series.counter(acks, state="requested"), "namespace")), "{{namespace}}"),
    )


def _ack_duration(series: Series) -> Panel:
    return timeseries(
        "How long does an acknowledgement take?",
        "The 95th percentile from the emit to the client's acknowledgement, late ones too.",
        "s",
        Query(latency(0.95, series.buckets(Catalogue.socketio_ack_duration), "namespace"), "{{namespace}}"),
    )


def _recipients(series: Series) -> Panel:
    return timeseries(
        "How many does an emit reach?",
        "The 95th percentile of the clients of one process that an emit reached.",
        "short",
        Query(latency(0.95, series.buckets(Catalogue.socketio_emit_recipients), "namespace"), "{{namespace}}"),
    )


def _traffic(series: Series) -> Panel:
    return timeseries(
        "How much goes over the wire?",
        "Bytes per second of packets, before compression.",
        "Bps",
        Query(per_second(series.counter(Catalogue.socketio_bytes), "direction"), "{{direction}}"),
    )


def _transports(series: Series) -> Panel:
    return timeseries(
        "Do clients get beyond polling?",
        "Open connections by transport. Many that poll: a proxy on the way lets no WebSocket through.",
        "short",
        Query(total(series.gauge(Catalogue.socketio_transports), "transport"), "{{transport}}"),
        is_stacked=True,
    )


def _rooms(series: Series) -> Panel:
    return timeseries(
        "How large are rooms?",
        "Clients of one process in its largest room; under OBS_SOCKETIO_ROOM_SIZES.",
        "short",
        Query(highest(series.gauge(Catalogue.socketio_largest_room), "namespace"), "largest of {{namespace}}"),
    )


def _pubsub(series: Series) -> Panel:
    return timeseries(
        "Do processes hear of each other's emits?",
        "Emits of other processes per second that arrived here, and whether a client was there for them.",
        "cps",
        Query(per_second(series.counter(Catalogue.socketio_pubsub_messages), "result"), "{{result}}"),
    )


__all__ = ["board"]
