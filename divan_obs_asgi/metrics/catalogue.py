"""
The catalogue: every metric family of the library, declared once. Tests compare code, dashboards, alert rules and docs
with it.

Code reaches a family by its attribute here: `observability.metrics.http_requests`. The names have no namespace; a flag
sets it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from divan_obs_asgi.metrics.family import (
    APPLICATION,
    BEYOND,
    CONNECTION_BUCKETS_S,
    DEPENDENCY_BUCKETS_S,
    EVENT_BUCKETS_S,
    JOB_BUCKETS_S,
    LAG_BUCKETS_S,
    MEMBER_BUCKETS,
    POOL_BUCKETS_S,
    RADIUS_CLASSES_M,
    SHIFT_BUCKETS,
    SIZE_BUCKETS,
    VITAL_BUCKETS_S,
    WAIT_BUCKETS_S,
    Family,
    Metric,
    counter,
    gauge,
    histogram,
    summary,
)


class Catalogue:
    """All families, each under the attribute name that code uses."""

    # HTTP.
    http_requests = counter(
        "http_requests_total",
        ["route", "method", "status"],
        "Finished HTTP requests, by route, method and status; status 0: no response was started.",
        "MetricsMiddleware",
    )
    http_duration = histogram(
        "http_request_duration_seconds",
        ["route", "method"],
        "Seconds from the start of an HTTP request to the end of its response; excludes long polls.",
        "MetricsMiddleware",
    )
    http_first_byte = histogram(
        "http_first_byte_seconds",
        ["route", "method"],
        "Seconds from the start of an HTTP request to the start of its response; excludes long polls.",
        "MetricsMiddleware",
    )
    http_response_size = histogram(
        "http_response_size_bytes",
        ["route", "method"],
        "Response body bytes sent by the application; excludes files that the server reads itself.",
        "MetricsMiddleware",
        SIZE_BUCKETS,
    )
    http_outcomes = counter(
        "http_outcomes_total",
        ["route", "outcome"],
        "Finished HTTP requests, by outcome: ok, error, error_after_start, client_disconnect, cancelled or incomplete.",
        "MetricsMiddleware",
    )
    http_exceptions = counter(
        "http_exceptions_total",
        ["route", "type"],
        "Exceptions that ended an HTTP request, or were raised after its response (background tasks), by class.",
        "MetricsMiddleware",
    )
    http_wait = histogram(
        "http_request_wait_seconds",
        ["route", "cause"],
        "Seconds that an HTTP request waited for one cause; excludes long polls; needs OBS_METRICS_WAIT_TIMES.",
        "MetricsMiddleware",
        WAIT_BUCKETS_S,
    )
    http_in_flight = gauge(
        "http_requests_in_flight",
        [],
        "In-flight HTTP requests, excluding health checks, scrapes and long polls.",
        "MetricsMiddleware",
    )

    # Operations and failures, as set by `divan_obs_asgi.operation` and `divan_obs_asgi.fail`. All GraphQL operations
    # share one route.
    operations = counter(
        "operations_total",
        ["route", "operation", "outcome"],
        "Finished requests with a named operation (of GraphQL, for example), by outcome.",
        "Operations",
    )
    operation_duration = histogram(
        "operation_duration_seconds",
        ["route", "operation"],
        "Duration in seconds of requests with a named operation.",
        "Operations",
    )
    failures = counter(
        "failures_total",
        ["route", "reason"],
        "Requests that the application marked as failed, by reason.",
        "Operations",
    )

    # WebSockets.
    websocket_connections = counter(
        "websocket_connections_total",
        ["route", "outcome"],
        "Finished WebSocket connections, by outcome.",
        "MetricsMiddleware",
    )
    websocket_duration = histogram(
        "websocket_duration_seconds",
        ["route"],
        "WebSocket connection duration in seconds, from the handshake to the end of the connection.",
        "MetricsMiddleware",
        CONNECTION_BUCKETS_S,
    )
    websocket_open = gauge("websocket_connections_open", [], "Open WebSocket connections.", "MetricsMiddleware")
    websocket_messages = counter(
        "websocket_messages_total",
        ["route", "direction"],
        "WebSocket messages, by direction: in (received) or out (sent).",
        "MetricsMiddleware",
    )
    websocket_closes = counter(
        "websocket_closes_total",
        ["route", "code"],
        "Closed WebSocket connections that had been accepted, by close code: a registered code, or _OTHER.",
        "MetricsMiddleware",
    )

    # Socket.IO.
    socketio_clients = gauge("socketio_clients", ["namespace"], "Connected Socket.IO clients.", "ObservedAsyncServer")
    socketio_events = counter(
        "socketio_events_total", ["namespace", "event"], "Socket.IO events received.", "ObservedAsyncServer"
    )

    # `namespace` and `event` are names that have a handler; all others are counted as "__unknown__".
    socketio_event_duration = histogram(
        "socketio_event_duration_seconds",
        ["namespace", "event"],
        "Duration of Socket.IO event handlers in seconds, including connect and disconnect handlers.",
        "ObservedAsyncServer",
        EVENT_BUCKETS_S,
    )
    socketio_errors = counter(
        "socketio_errors_total",
        ["namespace", "event", "type"],
        "Exceptions raised by Socket.IO event handlers, by class.",
        "ObservedAsyncServer",
    )
    socketio_connects = counter(
        "socketio_connects_total",
        ["namespace", "outcome"],
        "Attempts to connect to a Socket.IO namespace, by outcome: accepted, refused, error, duplicate or"
        " unknown_namespace.",
        "ObservedAsyncServer",
    )
    socketio_disconnects = counter(
        "socketio_disconnects_total",
        ["namespace", "reason"],
        "Disconnections from a Socket.IO namespace, by reason: client_disconnect, server_disconnect, ping_timeout,"
        " transport_close, transport_error or other.",
        "ObservedAsyncServer",
    )
    socketio_refused = counter(
        "socketio_refused_total",
        ["reason"],
        "Requests, packets and events that Engine.IO or Socket.IO refused, dropped or could not decode, by reason.",
        "ObservedAsyncServer",
    )
    socketio_corrections = counter(
        "socketio_corrections_total",
        ["gauge"],
        "Corrections of the gauges clients and transports, after a comparison with the state of the Socket.IO server;"
        " each correction counts its size.",
        "ObservedAsyncServer",
    )
    socketio_transports = gauge(
        "socketio_transports",
        ["transport"],
        "Open Engine.IO connections, by transport: polling or websocket.",
        "ObservedAsyncServer",
    )
    socketio_rooms = gauge(
        "socketio_rooms",
        ["namespace", "members"],
        "Rooms created by the application, by number of members in this process: up to 1, 10, 100, 1000, 10000 or more;"
        " needs OBS_SOCKETIO_ROOM_SIZES.",
        "ObservedAsyncServer",
    )
    socketio_largest_room = gauge(
        "socketio_largest_room",
        ["namespace"],
        "Members of the largest room in this process; needs OBS_SOCKETIO_ROOM_SIZES.",
        "ObservedAsyncServer",
        "livemax",
    )
    socketio_upgrades = counter(
        "socketio_upgrades_total",
        [],
        "Engine.IO connections upgraded from polling to WebSocket.",
        "ObservedAsyncServer",
    )
    socketio_packets = counter(
        "socketio_packets_total",
        ["direction"],
        "Packets received (in), or sent to one client (out), excluding pings.",
        "ObservedAsyncServer",
    )
    socketio_bytes = counter(
        "socketio_bytes_total",
        ["direction"],
        "Uncompressed bytes of packets received (in), or sent to one client (out), excluding pings.",
        "ObservedAsyncServer",
    )
    socketio_emits = counter("socketio_emits_total", ["namespace"], "Emits by this process.", "ObservedAsyncServer")
    socketio_emit_recipients = histogram(
        "socketio_emit_recipients",
        ["namespace"],
        "Clients of this process that received an emit; the emit may come from this process or another one.",
        "ObservedAsyncServer",
        MEMBER_BUCKETS,
    )
    socketio_acks = counter(
        "socketio_acks_total",
        ["namespace", "state"],
        "Client acknowledgements, by state: requested, answered (in time) or late (after `call` had timed out).",
        "ObservedAsyncServer",
    )
    socketio_ack_duration = histogram(
        "socketio_ack_duration_seconds",
        ["namespace"],
        "Seconds from an emit to the client's acknowledgement, including late ones.",
        "ObservedAsyncServer",
    )
    socketio_pubsub_messages = counter(
        "socketio_pubsub_messages_total",
        ["namespace", "result"],
        "Emits received from other processes, by result: delivered, or no_member if none of the recipients is connected"
        " to this process.",
        "ObservedAsyncServer",
    )
    socketio_pubsub_interruptions = counter(
        "socketio_pubsub_interruptions_total",
        [],
        "Interruptions of the subscription by which this process receives the emits of other processes.",
        "ObservedAsyncServer",
    )
    socketio_pubsub_lost = counter(
        "socketio_pubsub_lost_total",
        ["direction"],
        "Messages between processes that this process could not publish (out), or did not receive or could not read"
        " (in).",
        "ObservedAsyncServer",
    )

    # The domain, on request: `observability.metrics.domain` creates these families and increments them.
    presence_heartbeats = counter("presence_heartbeats_total", ["campus_id"], "Heartbeats accepted.", APPLICATION)
    presence_rejects = counter("presence_rejects_total", ["reason"], "Heartbeats refused.", APPLICATION)
    proximity_queries = counter(
        "proximity_queries_total",
        ["radius"],
        "Proximity queries, by the smallest radius class (in metres) that includes the requested radius.",
        APPLICATION,
        {"radius": [*map(str, RADIUS_CLASSES_M), BEYOND]},
    )
    invites_sent = counter("invites_sent_total", [], "Invites sent.", APPLICATION)
    invites_accept = counter("invites_accept_total", [], "Invites accepted.", APPLICATION)
    friendships_accepted = counter("friendships_accepted_total", [], "Friendships accepted.", APPLICATION)
    chat_send = counter("chat_send_total", [], "Chat messages sent.", APPLICATION)
    chat_delivered_updates = counter(
        "chat_delivered_updates_total", [], "Delivery receipts: updates of the last delivered message.", APPLICATION
    )
    chat_read_updates = counter(
        "chat_read_updates_total", [], "Read receipts: updates of the last read message.", APPLICATION
    )
    rooms_created = counter("rooms_created_total", [], "Rooms created.", APPLICATION)
    rooms_join = counter("rooms_join_total", [], "Room joins.", APPLICATION)
    rooms_send = counter("rooms_send_total", [], "Messages sent to rooms.", APPLICATION)
    activities_created = counter("activities_created_total", ["kind"], "Activities created.", APPLICATION)
    activities_completed = counter("activities_completed_total", ["kind"], "Activities completed.", APPLICATION)
    lb_events_processed = counter(
        "lb_events_processed_total", ["stream"], "Events processed by the leaderboards.", APPLICATION
    )
    lb_snapshots = counter("lb_snapshots_total", ["period", "scope"], "Leaderboard snapshots taken.", APPLICATION)

    # Dependencies. Several processes probe the same dependency: it is up if all of them can reach it.
    probe_up = gauge("probe_up", ["name"], "1 if the last check of the probe passed, else 0.", "probes", "livemin")
    redis_up = gauge("redis_up", [], "1 if Redis answers in time, else 0.", "probes", "livemin", absent=True)
    redis_latency = summary("redis_latency_seconds", [], "Redis PING latency in seconds.", "probes")
    # A Summary has no quantiles in Python, so each one is accompanied by a histogram.
    redis_ping_duration = histogram(
        "redis_ping_duration_seconds",
        [],
        "Redis PING latency in seconds, with buckets for quantiles.",
        "probes",
        DEPENDENCY_BUCKETS_S,
    )
    postgres_up = gauge("postgres_up", [], "1 if PostgreSQL answers in time, else 0.", "probes", "livemin", absent=True)
    postgres_latency = summary("postgres_latency_seconds", [], "PostgreSQL latency of SELECT 1 in seconds.", "probes")
    postgres_ping_duration = histogram(
        "postgres_ping_duration_seconds",
        [],
        "PostgreSQL latency of SELECT 1 in seconds, with buckets for quantiles.",
        "probes",
        DEPENDENCY_BUCKETS_S,
    )

    # Connection pools. The label `pool` is the name that the service has registered. Each worker has pools of its own.
    pool_connections = gauge(
        "pool_connections", ["pool", "state"], "Connections of a pool, by state: in_use or idle.", "pools"
    )
    pool_limit = gauge(
        "pool_limit", ["pool"], "Maximum number of connections of a pool; absent for a pool without a limit.", "pools"
    )
    pool_waiting = gauge(
        "pool_waiting",
        ["pool"],
        "Callers that wait for a connection of a pool, or for a new connection to open.",
        "pools",
    )
    pool_wait = histogram(
        "pool_wait_seconds",
        ["pool"],
        "Seconds from a request to a pool until it returned a connection or failed.",
        "pools",
        POOL_BUCKETS_S,
    )
    pool_exhausted = counter(
        "pool_exhausted_total",
        ["pool"],
        "Requests to a pool that got no connection because all were in use: refused, timed out or cancelled.",
        "pools",
    )

    # Jobs.
    jobs_runs = counter("jobs_runs_total", ["name", "result"], "Finished job runs, by result.", "jobs")
    jobs_duration = histogram("jobs_duration_seconds", ["name"], "Job run duration in seconds.", "jobs", JOB_BUCKETS_S)
    jobs_running = gauge("jobs_running", ["name"], "Job runs in progress.", "jobs")
    jobs_last_success = gauge(
        "jobs_last_success_timestamp_seconds",
        ["name"],
        "Unix time of the last successful run of a job; 0 before the first one.",
        "jobs",
        "max",
    )

    # Redis Streams. All workers query the same Redis: the most recent value is right.
    redis_stream_lag = gauge(
        "redis_stream_lag",
        ["stream", "group"],
        "Stream entries not yet delivered to the group; absent if Redis cannot calculate the lag.",
        "RedisStreams",
        "livemostrecent",
    )
    redis_stream_pending = gauge(
        "redis_stream_pending",
        ["stream", "group"],
        "Stream entries delivered to the group and not acknowledged.",
        "RedisStreams",
        "livemostrecent",
    )
    redis_stream_oldest_pending = gauge(
        "redis_stream_oldest_pending_seconds",
        ["stream", "group"],
        "Seconds since the oldest pending entry of the group was added to the stream; 0 without pending entries.",
        "RedisStreams",
        "livemostrecent",
    )

    # Health.
    health_ready = gauge(
        "health_ready",
        [],
        "1 if /health/ready passes, 0 if it fails or the process is draining; absent before the first checks.",
        "probes",
        "livemin",
        absent=True,
    )
    draining = gauge(
        "draining", [], "1 from the start of a drain to the end of the process, else 0.", "drain", "livemax"
    )

    # Browsers.
    web_vitals = histogram(
        "web_vitals_seconds",
        ["name", "route"],
        "LCP, INP, FCP and TTFB in seconds, measured by browsers, by page route.",
        "POST /ops/ingest",
        VITAL_BUCKETS_S,
    )
    web_vitals_cls = histogram(
        "web_vitals_cls",
        ["route"],
        "Cumulative layout shift (CLS), a score measured by browsers, by page route.",
        "POST /ops/ingest",
        SHIFT_BUCKETS,
    )
    web_vitals_ratings = counter(
        "web_vitals_ratings_total",
        ["name", "route", "rating"],
        "Web vitals received, by rating: good, needs-improvement or poor.",
        "POST /ops/ingest",
    )
    web_vitals_rejected = counter(
        "web_vitals_rejected_total",
        ["reason"],
        "Rejected requests with web vitals, by reason: body, count, name, navigation, origin, rate, rating, size, type "
        "or value.",
        "POST /ops/ingest",
    )

    # The process.
    event_loop_lag = histogram(
        "event_loop_lag_seconds",
        [],
        "Event loop lag in seconds: how late the loop woke a periodic task.",
        "Watchdog",
        LAG_BUCKETS_S,
    )
    event_loop_stalls = counter(
        "event_loop_stalls_total",
        [],
        "Times the event loop was blocked for longer than OBS_WATCHDOG_STALL_MS.",
        "Watchdog",
    )
    build_info = gauge(
        "obs_build_info",
        ["version", "service_version", "commit", "python"],
        "Build information, always 1: versions of divan-obs-asgi, of the service and of Python, commit of the service.",
        "runtime",
        "livemax",
    )

    # The library itself.
    errors = counter(
        "obs_errors_total", ["component"], "Internal errors of divan-obs-asgi, by component.", "everything"
    )
    redactions = counter(
        "redactions_total", ["rule", "sink"], "Redactions performed, by rule and sink.", "RedactionPolicy"
    )
    logs_dropped = counter(
        "log_records_dropped_total", ["level"], "Log records dropped because the queue was full, by level.", "logs"
    )
    log_handler_removed = counter(
        "log_handler_removed_total",
        [],
        "Times a later logging configuration removed the redacting handler from the root logger.",
        "logs",
    )
    trace_spans_dropped = counter(
        "trace_spans_dropped_total",
        ["reason"],
        "Spans that did not reach the collector, by reason (docs/tracing.md).",
        "tracing",
    )
    otlp_dropped = counter(
        "otlp_dropped_total",
        ["signal", "reason"],
        "Log lines and exports of metrics that did not reach the collector, by signal and reason.",
        "OTLP",
    )
    metrics_overflow = counter(
        "metrics_overflow_total",
        ["family", "cause"],
        "Label values replaced by __overflow__, by cause: limit (of label sets) or vocabulary (undeclared value).",
        "metrics",
    )


FAMILIES: tuple[Family[Metric], ...] = tuple(
    family for family in vars(Catalogue).values() if isinstance(family, Family)
)

# The families of a campus chat. `Metrics.domain` creates them on first use.
DOMAIN: tuple[Family[Metric], ...] = tuple(family for family in FAMILIES if family.by == APPLICATION)


# The listings of `divan-obs metrics list`.


def as_text(families: Iterable[Family[Metric]], namespace: str) -> str:
    """Return one line for each family, in columns: name with labels, type, help."""
    rows = [(_name_with_labels(family, namespace), family.kind, _help(family)) for family in families]
    width = max((len(name) for name, _, _ in rows), default=0)
    return "".join(f"{name:<{width}}  {kind:<9}  {help}\n" for name, kind, help in rows)


def as_json(families: Iterable[Family[Metric]], namespace: str) -> str:
    """Return a list of objects; they include what the other forms omit: buckets, vocabularies, modes of gauges."""
    objects = [_as_object(family, namespace) for family in families]
    return orjson.dumps(objects, option=orjson.OPT_INDENT_2).decode() + "\n"


def as_markdown(families: Iterable[Family[Metric]], namespace: str) -> str:
    """Return a table: name, type, labels, help."""
    head = "| metric | type | labels | meaning |\n|--------|------|--------|---------|\n"
    return head + "".join(
        f"| `{namespace}_{family.name}` | {family.kind} | {_as_code(family.labels)} | {_not_bold(_help(family))} |\n"
        for family in families
    )


FORMS: Mapping[str, Callable[[Iterable[Family[Metric]], str], str]] = {
    "text": as_text,
    "json": as_json,
    "markdown": as_markdown,
}


def _help(family: Family[Metric]) -> str:
    return f"{family.help} On request." if family in DOMAIN else family.help


def _name_with_labels(family: Family[Metric], namespace: str) -> str:
    labels = f"{{{','.join(family.labels)}}}" if family.labels else ""
    return f"{namespace}_{family.name}{labels}"


def _as_code(labels: Iterable[str]) -> str:
    return ", ".join(f"`{label}`" for label in labels)


def _not_bold(sentence: str) -> str:
    # Markdown prints `__overflow__` in bold.
    return re.sub(r"__\w+__", r"`\g<0>`", sentence)


def _as_object(family: Family[Metric], namespace: str) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "name": f"{namespace}_{family.name}",
        "type": family.kind,
        "labels": family.labels,
        "help": family.help,
        "changed_by": family.by,
        "on_request": family in DOMAIN,
    }
    if family.kind == "histogram":
        fields["buckets"] = family.buckets
    if family.kind == "gauge":
        fields["mode"] = family.mode
    if family.vocabulary:
        fields["vocabulary"] = {label: sorted(values) for label, values in family.vocabulary.items()}
    return fields


__all__ = ["DOMAIN", "FAMILIES", "FORMS", "Catalogue", "as_json", "as_markdown", "as_text"]
