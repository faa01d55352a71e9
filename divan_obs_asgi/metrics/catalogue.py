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
)

__all__ = ["CONNECTION_BUCKETS_S", "DURATION_BUCKETS_S", "FAMILIES", "JOB_BUCKETS_S", "Family", "GaugeMode", "Kind"]
