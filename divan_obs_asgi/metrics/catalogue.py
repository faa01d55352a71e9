"""The metric families, declared once. Code, dashboards, alert rules and docs are held against this list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["counter", "gauge", "histogram", "summary"]
# What a scrape tells of the values that several workers hold of one gauge; `live`: of those that still run.
GaugeMode: TypeAlias = Literal["livesum", "livemin", "livemax", "livemostrecent", "sum", "min", "max", "mostrecent"]

# SPEC: within [0.01..5]. Edges at 0.12, 0.15 and 0.4 s: the load tests and the latency alert ask about exactly these.
DURATION_BUCKETS_S = (0.01, 0.025, 0.05, 0.075, 0.1, 0.12, 0.15, 0.2, 0.3, 0.4, 0.5, 1.0, 2.5, 5.0)
# A WebSocket lives for minutes; its histogram must tell a second from an hour.
CONNECTION_BUCKETS_S = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)
# A handler of an event is a few microseconds of Python, or waits for a database.
EVENT_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
# One client, a few friends, a channel, everybody.
MEMBER_BUCKETS = (0.0, 1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 5000.0, 10000.0)
# A job takes milliseconds or hours.
JOB_BUCKETS_S = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)


@dataclass(frozen=True, slots=True)
class Family:
    """
    A metric family, without the namespace in its name.

    Attributes:
        name: as it is exposed, `_total` of counters included.
        help: one sentence.
        by: who changes it.
        mode: of a gauge, how one value is made of several workers'.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    by: str
    buckets: tuple[float, ...] = ()
    mode: GaugeMode = "livesum"


HTTP_REQUESTS = Family(
    "http_requests_total", "counter", ("route", "method", "status"), "HTTP requests, by their end.", "MetricsMiddleware"
)
HTTP_DURATION = Family(
    "http_request_duration_seconds",
    "histogram",
    ("route", "method"),
    "Seconds from the request to the end of its response.",
    "MetricsMiddleware",
    DURATION_BUCKETS_S,
)
HTTP_OUTCOMES = Family(
    "http_outcomes_total", "counter", ("route", "outcome"), "How HTTP requests ended.", "MetricsMiddleware"
)
WEBSOCKET_CONNECTIONS = Family(
    "websocket_connections_total",
    "counter",
    ("route", "outcome"),
    "WebSocket connections, by their end.",
    "MetricsMiddleware",
)
WEBSOCKET_DURATION = Family(
    "websocket_duration_seconds",
    "histogram",
    ("route",),
    "Seconds from the handshake to the end of the connection.",
    "MetricsMiddleware",
    CONNECTION_BUCKETS_S,
)
SOCKETIO_CLIENTS = Family(
    "socketio_clients", "gauge", ("namespace",), "Connected Socket.IO clients.", "ObservedAsyncServer"
)
SOCKETIO_EVENTS = Family(
    "socketio_events_total", "counter", ("namespace", "event"), "Socket.IO events received.", "ObservedAsyncServer"
)
PROBE_UP = Family("probe_up", "gauge", ("name",), "1 where the last check of the probe passed.", "probes")
REDIS_UP = Family("redis_up", "gauge", (), "1 where Redis answers in time.", "probes")
REDIS_LATENCY = Family("redis_latency_seconds", "summary", (), "Seconds that Redis took to answer a PING.", "probes")
POSTGRES_UP = Family("postgres_up", "gauge", (), "1 where PostgreSQL answers in time.", "probes")
POSTGRES_LATENCY = Family(
    "postgres_latency_seconds", "summary", (), "Seconds that PostgreSQL took to answer SELECT 1.", "probes"
)
ERRORS = Family(
    "obs_errors_total", "counter", ("component",), "Failures inside the observability itself.", "everything"
)
REDACTIONS = Family(
    "redactions_total", "counter", ("rule", "sink"), "What was kept from leaving the process.", "RedactionPolicy"
)
LOGS_DROPPED = Family(
    "log_records_dropped_total", "counter", ("level",), "Log lines that the full queue did not take.", "logs"
)
TRACE_SPANS_DROPPED = Family(
    "trace_spans_dropped_total",
    "counter",
    ("reason",),
    "Spans that did not reach the collector: queue_full, circuit_open, export_failed or shutdown.",
    "tracing",
)

# Jobs.
JOBS_RUNS = Family("jobs_runs_total", "counter", ("name", "result"), "Runs of a job, by their end.", "jobs")
JOBS_DURATION = Family(
    "jobs_duration_seconds", "histogram", ("name",), "Seconds that a run of a job took.", "jobs", JOB_BUCKETS_S
)
JOBS_RUNNING = Family("jobs_running", "gauge", ("name",), "Runs of a job that are under way.", "jobs")
JOBS_LAST_SUCCESS = Family(
    "jobs_last_success_timestamp_seconds",
    "gauge",
    ("name",),
    "Unix time at which a job last succeeded; 0 before the first time.",
    "jobs",
    mode="max",
)

# Socket.IO. What stands in `namespace` and `event` has a handler; all else is "__unknown__".
SOCKETIO_EVENT_DURATION = Family(
    "socketio_event_duration_seconds",
    "histogram",
    ("namespace", "event"),
    "Seconds that a handler of a Socket.IO event took, of connect and disconnect too.",
    "ObservedAsyncServer",
    EVENT_BUCKETS_S,
)
SOCKETIO_ERRORS = Family(
    "socketio_errors_total",
    "counter",
    ("namespace", "event", "type"),
    "Exceptions that a handler of a Socket.IO event raised, by their class.",
    "ObservedAsyncServer",
)
SOCKETIO_CONNECTS = Family(
    "socketio_connects_total",
    "counter",
    ("namespace", "outcome"),
    "Clients that asked to connect to a namespace: accepted, refused, error, duplicate or unknown_namespace.",
    "ObservedAsyncServer",
)
SOCKETIO_DISCONNECTS = Family(
    "socketio_disconnects_total",
    "counter",
    ("namespace", "reason"),
    "Clients that left a namespace: client_disconnect, server_disconnect, ping_timeout, transport_close,"
    " transport_error or other.",
    "ObservedAsyncServer",
)
SOCKETIO_GAUGE_CORRECTIONS = Family(
    "socketio_gauge_corrections_total",
    "counter",
    ("gauge",),
    "By how much a gauge was off when it was compared with what the server itself holds: clients or transports.",
    "ObservedAsyncServer",
)
SOCKETIO_TRANSPORTS = Family(
    "socketio_transports",
    "gauge",
    ("transport",),
    "Open Engine.IO connections: polling or websocket.",
    "ObservedAsyncServer",
)
SOCKETIO_UPGRADES = Family(
    "socketio_upgrades_total",
    "counter",
    (),
    "Engine.IO connections that went from polling to WebSocket.",
    "ObservedAsyncServer",
)
SOCKETIO_PACKETS = Family(
    "socketio_packets_total",
    "counter",
    ("direction",),
    "Packets that came in, or went out to one client; pings are not among them.",
    "ObservedAsyncServer",
)
SOCKETIO_BYTES = Family(
    "socketio_bytes_total", "counter", ("direction",), "Bytes in these packets, uncompressed.", "ObservedAsyncServer"
)
SOCKETIO_EMITS = Family(
    "socketio_emits_total", "counter", ("namespace",), "Emits of this process.", "ObservedAsyncServer"
)
SOCKETIO_EMIT_RECIPIENTS = Family(
    "socketio_emit_recipients",
    "histogram",
    ("namespace",),
    "Clients of this process that an emit reached, of this process' emits and of others'.",
    "ObservedAsyncServer",
    MEMBER_BUCKETS,
)
SOCKETIO_ACKS = Family(
    "socketio_acks_total",
    "counter",
    ("namespace", "state"),
    "Acknowledgements of clients: requested, answered in time, or late, when `call` had given up.",
    "ObservedAsyncServer",
)
SOCKETIO_ACK_DURATION = Family(
    "socketio_ack_duration_seconds",
    "histogram",
    ("namespace",),
    "Seconds from an emit to the client's acknowledgement, late ones too.",
    "ObservedAsyncServer",
    DURATION_BUCKETS_S,
)
SOCKETIO_ROOM_MEMBERS = Family(
    "socketio_room_members",
    "histogram",
    ("namespace",),
    "Clients of this process in each room, observed every few seconds (OBS_SOCKETIO_ROOM_SIZES).",
    "ObservedAsyncServer",
    MEMBER_BUCKETS,
)
SOCKETIO_PUBSUB_MESSAGES = Family(
    "socketio_pubsub_messages_total",
    "counter",
    ("namespace", "result"),
    "Emits of other processes that arrived here: delivered, or no_member where none of the clients is connected here.",
    "ObservedAsyncServer",
)

# Redis Streams. All workers ask the same Redis: who asked last is right.
REDIS_STREAM_LAG = Family(
    "redis_stream_lag",
    "gauge",
    ("stream", "group"),
    "Entries of a stream that a group has not been given yet; absent where Redis cannot tell.",
    "RedisStreams",
    mode="livemostrecent",
)
REDIS_STREAM_PENDING = Family(
    "redis_stream_pending",
    "gauge",
    ("stream", "group"),
    "Entries that a group was given and has not acknowledged.",
    "RedisStreams",
    mode="livemostrecent",
)
REDIS_STREAM_OLDEST_PENDING = Family(
    "redis_stream_oldest_pending_seconds",
    "gauge",
    ("stream", "group"),
    "Seconds since the oldest of these was added to the stream; 0 where there is none.",
    "RedisStreams",
    mode="livemostrecent",
)

FAMILIES = (
    HTTP_REQUESTS,
    HTTP_DURATION,
    HTTP_OUTCOMES,
    WEBSOCKET_CONNECTIONS,
    WEBSOCKET_DURATION,
    SOCKETIO_CLIENTS,
    SOCKETIO_EVENTS,
    PROBE_UP,
    REDIS_UP,
    REDIS_LATENCY,
    POSTGRES_UP,
    POSTGRES_LATENCY,
    ERRORS,
    REDACTIONS,
    LOGS_DROPPED,
    TRACE_SPANS_DROPPED,
    JOBS_RUNS,
    JOBS_DURATION,
    JOBS_RUNNING,
    JOBS_LAST_SUCCESS,
    SOCKETIO_EVENT_DURATION,
    SOCKETIO_ERRORS,
    SOCKETIO_CONNECTS,
    SOCKETIO_DISCONNECTS,
    SOCKETIO_GAUGE_CORRECTIONS,
    SOCKETIO_TRANSPORTS,
    SOCKETIO_UPGRADES,
    SOCKETIO_PACKETS,
    SOCKETIO_BYTES,
    SOCKETIO_EMITS,
    SOCKETIO_EMIT_RECIPIENTS,
    SOCKETIO_ACKS,
    SOCKETIO_ACK_DURATION,
    SOCKETIO_ROOM_MEMBERS,
    SOCKETIO_PUBSUB_MESSAGES,
    REDIS_STREAM_LAG,
    REDIS_STREAM_PENDING,
    REDIS_STREAM_OLDEST_PENDING,
)

__all__ = [
    "CONNECTION_BUCKETS_S",
    "DURATION_BUCKETS_S",
    "EVENT_BUCKETS_S",
    "FAMILIES",
    "JOB_BUCKETS_S",
    "MEMBER_BUCKETS",
    "Family",
    "GaugeMode",
    "Kind",
]
