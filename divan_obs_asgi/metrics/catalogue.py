"""
The metric families, declared once. Code, dashboards, alert rules and docs are held against this list.

A family is declared under the name by which code reaches it: `observability.metrics.http_requests`. Names are without
the namespace, which is a flag.
"""

from __future__ import annotations

from divan_obs_asgi.metrics.family import (
    APPLICATION,
    BEYOND,
    CONNECTION_BUCKETS_S,
    DEPENDENCY_BUCKETS_S,
    EVENT_BUCKETS_S,
    JOB_BUCKETS_S,
    LAG_BUCKETS_S,
    MEMBER_BUCKETS,
    RADIUS_CLASSES_M,
    SHIFT_BUCKETS,
    SIZE_BUCKETS,
    VITAL_BUCKETS_S,
    Family,
    Metric,
    counter,
    gauge,
    histogram,
    summary,
)


class Catalogue:
    """Every family, under the name by which code reaches it."""

    # HTTP.
    http_requests = counter(
        "http_requests_total", ["route", "method", "status"], "HTTP requests, by their end.", "MetricsMiddleware"
    )
    http_duration = histogram(
        "http_request_duration_seconds",
        ["route", "method"],
        "Seconds from the request to the end of its response.",
        "MetricsMiddleware",
    )
    http_first_byte = histogram(
        "http_first_byte_seconds",
        ["route", "method"],
        "Seconds from the request to the start of its response, of those that were started.",
        "MetricsMiddleware",
    )
    http_response_size = histogram(
        "http_response_size_bytes",
        ["route", "method"],
        "Body bytes of a response as the application sent them; not those of a file that the server reads itself.",
        "MetricsMiddleware",
        SIZE_BUCKETS,
    )
    http_outcomes = counter(
        "http_outcomes_total",
        ["route", "outcome"],
        "How HTTP requests ended: ok, error, error_after_start, client_disconnect, cancelled or incomplete.",
        "MetricsMiddleware",
    )
    http_exceptions = counter(
        "http_exceptions_total",
        ["route", "type"],
        "Exceptions that requests ended with, or raised after their response (background tasks), by class.",
        "MetricsMiddleware",
    )
    http_in_flight = gauge(
        "http_requests_in_flight",
        [],
        "HTTP requests that the application is working on; neither those of probes and scrapes nor those that wait.",
        "MetricsMiddleware",
    )

    # What `divan_obs_asgi.operation` and `divan_obs_asgi.fail` say of requests: GraphQL's operations have one route.
    operations = counter(
        "operations_total",
        ["route", "operation", "outcome"],
        "Requests that named their operation, by their end.",
        "Operations",
    )
    operation_duration = histogram(
        "operation_duration_seconds",
        ["route", "operation"],
        "Seconds from the request to the end of its response, of requests that named their operation.",
        "Operations",
    )
    failures = counter(
        "failures_total", ["route", "reason"], "Requests that the application has declared failed.", "Operations"
    )

    # WebSockets.
    websocket_connections = counter(
        "websocket_connections_total", ["route", "outcome"], "WebSocket connections, by their end.", "MetricsMiddleware"
    )
    websocket_duration = histogram(
        "websocket_duration_seconds",
        ["route"],
        "Seconds from the handshake to the end of the connection.",
        "MetricsMiddleware",
        CONNECTION_BUCKETS_S,
    )
    websocket_open = gauge("websocket_connections_open", [], "WebSocket connections that last.", "MetricsMiddleware")
    websocket_messages = counter(
        "websocket_messages_total",
        ["route", "direction"],
        "Messages of WebSockets that came in, or went out.",
        "MetricsMiddleware",
    )
    websocket_closes = counter(
        "websocket_closes_total",
        ["route", "code"],
        "Accepted WebSockets by the code that closed them: a registered one, or _OTHER.",
        "MetricsMiddleware",
    )

    # Socket.IO.
    socketio_clients = gauge("socketio_clients", ["namespace"], "Connected Socket.IO clients.", "ObservedAsyncServer")
    socketio_events = counter(
        "socketio_events_total", ["namespace", "event"], "Socket.IO events received.", "ObservedAsyncServer"
    )

    # What stands in `namespace` and `event` has a handler; all else is "__unknown__".
    socketio_event_duration = histogram(
        "socketio_event_duration_seconds",
        ["namespace", "event"],
        "Seconds that a handler of a Socket.IO event took, of connect and disconnect too.",
        "ObservedAsyncServer",
        EVENT_BUCKETS_S,
    )
    socketio_errors = counter(
        "socketio_errors_total",
        ["namespace", "event", "type"],
        "Exceptions that a handler of a Socket.IO event raised, by their class.",
        "ObservedAsyncServer",
    )
    socketio_connects = counter(
        "socketio_connects_total",
        ["namespace", "outcome"],
        "Clients that asked to connect to a namespace: accepted, refused, error, duplicate or unknown_namespace.",
        "ObservedAsyncServer",
    )
    socketio_disconnects = counter(
        "socketio_disconnects_total",
        ["namespace", "reason"],
        "Clients that left a namespace: client_disconnect, server_disconnect, ping_timeout, transport_close,"
        " transport_error or other.",
        "ObservedAsyncServer",
    )
    socketio_corrections = counter(
        "socketio_corrections_total",
        ["gauge"],
        "By how much a gauge was off when it was compared with what the server itself holds: clients or transports.",
        "ObservedAsyncServer",
    )
    socketio_transports = gauge(
        "socketio_transports", ["transport"], "Open Engine.IO connections: polling or websocket.", "ObservedAsyncServer"
    )
    socketio_rooms = gauge(
        "socketio_rooms",
        ["namespace", "members"],
        "Rooms that applications have made, by how many clients of this process are in each: up to 1, 10, 100, 1000,"
        " 10000 or more; under OBS_SOCKETIO_ROOM_SIZES.",
        "ObservedAsyncServer",
    )
    socketio_largest_room = gauge(
        "socketio_largest_room",
        ["namespace"],
        "Clients of this process in the room that has most of them; under OBS_SOCKETIO_ROOM_SIZES.",
        "ObservedAsyncServer",
        "livemax",
    )
    socketio_upgrades = counter(
        "socketio_upgrades_total",
        [],
        "Engine.IO connections that went from polling to WebSocket.",
        "ObservedAsyncServer",
    )
    socketio_packets = counter(
        "socketio_packets_total",
        ["direction"],
        "Packets that came in, or went out to one client; pings are not among them.",
        "ObservedAsyncServer",
    )
    socketio_bytes = counter(
        "socketio_bytes_total", ["direction"], "Bytes in these packets, uncompressed.", "ObservedAsyncServer"
    )
    socketio_emits = counter("socketio_emits_total", ["namespace"], "Emits of this process.", "ObservedAsyncServer")
    socketio_emit_recipients = histogram(
        "socketio_emit_recipients",
        ["namespace"],
        "Clients of this process that an emit reached, of this process' emits and of others'.",
        "ObservedAsyncServer",
        MEMBER_BUCKETS,
    )
    socketio_acks = counter(
        "socketio_acks_total",
        ["namespace", "state"],
        "Acknowledgements of clients: requested, answered in time, or late, when `call` had given up.",
        "ObservedAsyncServer",
    )
    socketio_ack_duration = histogram(
        "socketio_ack_duration_seconds",
        ["namespace"],
        "Seconds from an emit to the client's acknowledgement, late ones too.",
        "ObservedAsyncServer",
    )
    socketio_pubsub_messages = counter(
        "socketio_pubsub_messages_total",
        ["namespace", "result"],
        "Emits of other processes that arrived here: delivered, or no_member where none of the clients is connected"
        " here.",
        "ObservedAsyncServer",
    )

    # The domain, on request: `observability.metrics.domain` makes these families, and increments them.
    presence_heartbeats = counter("presence_heartbeats_total", ["campus_id"], "Heartbeats accepted.", APPLICATION)
    presence_rejects = counter("presence_rejects_total", ["reason"], "Heartbeats refused.", APPLICATION)
    proximity_queries = counter(
        "proximity_queries_total",
        ["radius"],
        "Questions who is near, by the smallest class of metres that holds the circle.",
        APPLICATION,
        {"radius": [*map(str, RADIUS_CLASSES_M), BEYOND]},
    )
    invites_sent = counter("invites_sent_total", [], "Invites sent.", APPLICATION)
    invites_accept = counter("invites_accept_total", [], "Invites accepted.", APPLICATION)
    friendships_accepted = counter("friendships_accepted_total", [], "Friendships accepted.", APPLICATION)
    chat_send = counter("chat_send_total", [], "Chat messages sent.", APPLICATION)
    chat_delivered_updates = counter(
        "chat_delivered_updates_total", [], "Updates of how far messages were delivered.", APPLICATION
    )
    chat_read_updates = counter("chat_read_updates_total", [], "Updates of how far messages were read.", APPLICATION)
    rooms_created = counter("rooms_created_total", [], "Rooms created.", APPLICATION)
    rooms_join = counter("rooms_join_total", [], "Joins of rooms.", APPLICATION)
    rooms_send = counter("rooms_send_total", [], "Messages sent to rooms.", APPLICATION)
    activities_created = counter("activities_created_total", ["kind"], "Activities created.", APPLICATION)
    activities_completed = counter("activities_completed_total", ["kind"], "Activities completed.", APPLICATION)
    lb_events_processed = counter(
        "lb_events_processed_total", ["stream"], "Events that the leaderboards have processed.", APPLICATION
    )
    lb_snapshots = counter("lb_snapshots_total", ["period", "scope"], "Snapshots of leaderboards.", APPLICATION)

    # Dependencies. Several processes probe the same one: it is up where all of them say so.
    probe_up = gauge("probe_up", ["name"], "1 where the last check of the probe passed.", "probes", "livemin")
    redis_up = gauge("redis_up", [], "1 where Redis answers in time.", "probes", "livemin", absent=True)
    redis_latency = summary("redis_latency_seconds", [], "Seconds that Redis took to answer a PING.", "probes")
    # A Summary has no quantiles in Python, so each has a twin that has.
    redis_ping_duration = histogram(
        "redis_ping_duration_seconds",
        [],
        "Seconds that Redis took to answer a PING, for quantiles.",
        "probes",
        DEPENDENCY_BUCKETS_S,
    )
    postgres_up = gauge("postgres_up", [], "1 where PostgreSQL answers in time.", "probes", "livemin", absent=True)
    postgres_latency = summary(
        "postgres_latency_seconds", [], "Seconds that PostgreSQL took to answer SELECT 1.", "probes"
    )
    postgres_ping_duration = histogram(
        "postgres_ping_duration_seconds",
        [],
        "Seconds that PostgreSQL took to answer SELECT 1, for quantiles.",
        "probes",
        DEPENDENCY_BUCKETS_S,
    )

    # Jobs.
    jobs_runs = counter("jobs_runs_total", ["name", "result"], "Runs of a job, by their end.", "jobs")
    jobs_duration = histogram(
        "jobs_duration_seconds", ["name"], "Seconds that a run of a job took.", "jobs", JOB_BUCKETS_S
    )
    jobs_running = gauge("jobs_running", ["name"], "Runs of a job that are under way.", "jobs")
    jobs_last_success = gauge(
        "jobs_last_success_timestamp_seconds",
        ["name"],
        "Unix time at which a job last succeeded; 0 before the first time.",
        "jobs",
        "max",
    )

    # Redis Streams. All workers ask the same Redis: who asked last is right.
    redis_stream_lag = gauge(
        "redis_stream_lag",
        ["stream", "group"],
        "Entries of a stream that a group has not been given yet; absent where Redis cannot tell.",
        "RedisStreams",
        "livemostrecent",
    )
    redis_stream_pending = gauge(
        "redis_stream_pending",
        ["stream", "group"],
        "Entries that a group was given and has not acknowledged.",
        "RedisStreams",
        "livemostrecent",
    )
    redis_stream_oldest_pending = gauge(
        "redis_stream_oldest_pending_seconds",
        ["stream", "group"],
        "Seconds since the oldest of these was added to the stream; 0 where there is none.",
        "RedisStreams",
        "livemostrecent",
    )

    # Health.
    health_ready = gauge(
        "health_ready",
        [],
        "1 where /health/ready says ok, 0 where it fails or the process drains; absent before the first checks.",
        "probes",
        "livemin",
        absent=True,
    )
    draining = gauge("draining", [], "1 from the start of a drain to the end of the process.", "drain", "livemax")

    # Browsers.
    web_vitals = histogram(
        "web_vitals_seconds",
        ["name", "route"],
        "LCP, INP, FCP and TTFB in seconds, as browsers measured them, by the page's route.",
        "POST /ops/ingest",
        VITAL_BUCKETS_S,
    )
    web_vitals_cls = histogram(
        "web_vitals_cls",
        ["route"],
        "CLS (cumulative layout shift), a score that browsers measured, by the page's route.",
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
        "Requests with web vitals that were refused: body, count, name, navigation, origin, rate, rating, size, type "
        "or value.",
        "POST /ops/ingest",
    )

    # The process.
    event_loop_lag = histogram(
        "event_loop_lag_seconds",
        [],
        "Seconds by which the event loop woke a task later than it had asked, measured all the time.",
        "Watchdog",
        LAG_BUCKETS_S,
    )
    event_loop_stalls = counter(
        "event_loop_stalls_total", [], "Times that code held the event loop up (OBS_WATCHDOG_STALL_MS).", "Watchdog"
    )
    build_info = gauge(
        "obs_build_info",
        ["version", "service_version", "commit", "python"],
        "What runs: always 1, with the version of divan-obs-asgi, of the service, its commit and Python's version.",
        "runtime",
        "livemax",
    )

    # The library itself.
    errors = counter("obs_errors_total", ["component"], "Failures inside the observability itself.", "everything")
    redactions = counter(
        "redactions_total", ["rule", "sink"], "What was kept from leaving the process.", "RedactionPolicy"
    )
    logs_dropped = counter(
        "log_records_dropped_total", ["level"], "Log lines that the full queue did not take.", "logs"
    )
    log_handler_removed = counter(
        "log_handler_removed_total",
        [],
        "Times that a later logging configuration removed the handler that redacts from the root logger.",
        "logs",
    )
    trace_spans_dropped = counter(
        "trace_spans_dropped_total",
        ["reason"],
        "Spans that did not reach the collector: queue_full, circuit_open, export_failed or shutdown.",
        "tracing",
    )
    metrics_overflow = counter(
        "metrics_overflow_total",
        ["family", "cause"],
        "Label values told as __overflow__: over the limit of label sets, or in no vocabulary.",
        "metrics",
    )


FAMILIES: tuple[Family[Metric], ...] = tuple(
    family for family in vars(Catalogue).values() if isinstance(family, Family)
)

# Families that only an application with such events has: they come into being with `Metrics.domain`.
DOMAIN: tuple[Family[Metric], ...] = tuple(family for family in FAMILIES if family.by == APPLICATION)

__all__ = ["DOMAIN", "FAMILIES", "Catalogue"]
