"""Socket.IO: connected clients, events and errors."""

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
        "Do clients stay connected, and are their events handled?",
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
        "How many clients are connected?",
        "Connected clients of all instances, by namespace.",
        "short",
        Query(total(series.gauge(Catalogue.socketio_clients), "namespace"), "{{namespace}}"),
        alert="SocketClientDrop",
        is_stacked=True,
    )


def _lost(series: Series) -> Panel:
    clients = series.gauge(Catalogue.socketio_clients)
    before = Vector(f"{total(ago(clients, '5m'), 'job')} >= {MIN_CLIENTS}")
    return timeseries(
        "Did many clients disconnect at once?",
        "Decrease of the number of clients within 5 minutes; below 0 if there are more now. The line is the alert"
        " threshold. The alert does not fire while a process starts or drains.",
        "percentunit",
        Query(Vector(f"1 - {total(clients, 'job')} / ({before})"), "{{job}}"),
        alert="SocketClientDrop",
        limits=(0.5,),
    )


def _connects(series: Series) -> Panel:
    return timeseries(
        "Can clients connect, and what is refused?",
        "Connection attempts per second, by namespace and outcome; and requests, packets and events that were refused,"
        " by reason. Many unknown sessions without a deploy: sticky sessions are missing.",
        "cps",
        Query(per_second(series.counter(Catalogue.socketio_connects), "namespace", "outcome"),
              "{{namespace}} {{outcome}}"),
        Query(per_second(series.counter(Catalogue.socketio_refused), "reason"), "refused: {{reason}}"),
        alert="SocketRefusals",
    )  # fmt: skip


def _disconnects(series: Series) -> Panel:
    return timeseries(
        "Why do clients disconnect?",
        "Disconnects per second, by reason. Many ping timeouts at once: check the network and the event loop.",
        "cps",
        Query(per_second(series.counter(Catalogue.socketio_disconnects), "reason"), "{{reason}}"),
        is_stacked=True,
    )


def _events(series: Series) -> Panel:
    return table(
        "Which events are received?",
        "Events in the time range, by namespace and name.",
        Query(Vector(f"{in_view(series.counter(Catalogue.socketio_events), *_BY_EVENT)} > 0"), "Events", "short"),
    )


def _handlers(series: Series) -> Panel:
    return timeseries(
        "Which handlers are slow?",
        "95th percentile of the duration of a handler, by event. Points are traces.",
        "s",
        Query(latency(0.95, series.buckets(Catalogue.socketio_event_duration), *_BY_EVENT), "{{namespace}} {{event}}"),
        is_traced=True,
    )


def _errors(series: Series) -> Panel:
    return table(
        "Which handlers fail?",
        "Exceptions of handlers in the time range, by class. Empty: none failed.",
        Query(
            Vector(f"{in_view(series.counter(Catalogue.socketio_errors), *_BY_EVENT, 'type')} > 0"), "Errors", "short"
        ),
    )


def _acknowledged(series: Series) -> Panel:
    acks = Catalogue.socketio_acks
    answered = per_second(series.counter(acks, state="answered"), "namespace")
    return timeseries(
        "Do clients acknowledge in time?",
        "Share of the requested acknowledgements that arrived in time.",
        "percentunit",
        Query(share(answered, per_second(series.counter(acks, state="requested"), "namespace")), "{{namespace}}"),
    )


def _ack_duration(series: Series) -> Panel:
    return timeseries(
        "How long does an acknowledgement take?",
        "95th percentile of the time from the emit to the client's acknowledgement, including late ones.",
        "s",
        Query(latency(0.95, series.buckets(Catalogue.socketio_ack_duration), "namespace"), "{{namespace}}"),
    )


def _recipients(series: Series) -> Panel:
    return timeseries(
        "How many clients does an emit reach?",
        "95th percentile of the recipients of an emit, in one process.",
        "short",
        Query(latency(0.95, series.buckets(Catalogue.socketio_emit_recipients), "namespace"), "{{namespace}}"),
    )


def _traffic(series: Series) -> Panel:
    return timeseries(
        "How much data is transferred?",
        "Bytes of packets per second, before compression.",
        "Bps",
        Query(per_second(series.counter(Catalogue.socketio_bytes), "direction"), "{{direction}}"),
    )


def _transports(series: Series) -> Panel:
    return timeseries(
        "Do clients upgrade from polling to WebSocket?",
        "Open connections, by transport. If most of them poll, a proxy probably blocks WebSockets.",
        "short",
        Query(total(series.gauge(Catalogue.socketio_transports), "transport"), "{{transport}}"),
        is_stacked=True,
    )


def _rooms(series: Series) -> Panel:
    return timeseries(
        "How large are rooms?",
        "Clients in the largest room of a process. Requires OBS_SOCKETIO_ROOM_SIZES.",
        "short",
        Query(highest(series.gauge(Catalogue.socketio_largest_room), "namespace"), "largest of {{namespace}}"),
    )


def _pubsub(series: Series) -> Panel:
    return timeseries(
        "Do processes receive each other's emits?",
        "Emits of other processes received per second, by whether a client of this process was a recipient; lost"
        " messages, and interruptions of the subscription.",
        "cps",
        Query(per_second(series.counter(Catalogue.socketio_pubsub_messages), "result"), "{{result}}"),
        Query(per_second(series.counter(Catalogue.socketio_pubsub_lost), "direction"), "lost {{direction}}"),
        Query(per_second(series.counter(Catalogue.socketio_pubsub_interruptions), "job"), "interruptions"),
    )


__all__ = ["board"]
